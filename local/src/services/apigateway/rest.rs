//! From REST requests of the API Gateway v2 API to calls on the stored APIs.

use http::Method;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::objects::{unknown, unknown_stage};
use super::{Apis, Owner};
use crate::protocol::classify::{query_parameter, query_parameters};
use crate::services::{Fault, Reply, page};

/// Items of a page unless asked for. Small, so that a client that does not page is found out.
const PAGE: usize = 25;
/// Most items of a page.
const LARGEST_PAGE: usize = 500;

impl Apis {
    /// Answers one call.
    pub(crate) fn call(
        &self,
        owner: Owner<'_>,
        method: &Method,
        path: &str,
        query: &str,
        body: &[u8],
    ) -> Result<Reply, Fault> {
        let decoded: Vec<String> = path
            .split('/')
            .skip(1)
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
        let Some((&"v2", rest)) = segments.split_first() else {
            return Err(unsupported(method, path));
        };
        match (method.as_str(), rest) {
            ("GET", ["apis"]) => list(query, self.apis_of(owner)),
            ("POST", ["apis"]) => Ok(Reply::json(201, &self.create_api(owner, read(body)?)?)),
            ("GET", ["apis", api]) => self.read(owner, api, |record| Ok(Reply::json(200, &record.api))),
            ("PATCH", ["apis", api]) => Ok(Reply::json(200, &self.update_api(owner, api, read(body)?)?)),
            ("DELETE", ["apis", api]) => none(self.remove(owner, api)),
            ("DELETE", ["apis", api, "cors"]) => none(self.delete_cors(owner, api)),
            (_, ["apis", api, kind, rest @ ..]) => self.call_part(owner, method, api, kind, rest, query, body),
            ("GET", ["tags", arn @ ..]) => Ok(Reply::json(
                200,
                &json!({"tags": self.tags(owner, &arn.join("/"), |_| ())?}),
            )),
            ("POST", ["tags", arn @ ..]) => {
                let given: TagsInput = read(body)?;
                self.tags(owner, &arn.join("/"), |tags| tags.extend(given.tags))?;
                Ok(Reply::json(201, &json!({})))
            }
            ("DELETE", ["tags", arn @ ..]) => {
                let keys = query_parameters(query, "tagKeys");
                none(
                    self.tags(owner, &arn.join("/"), |tags| tags.retain(|key, _| !keys.contains(key)))
                        .map(drop),
                )
            }
            _ => Err(unsupported(method, path)),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one request")]
    fn call_part(
        &self,
        owner: Owner<'_>,
        method: &Method,
        api: &str,
        kind: &str,
        rest: &[&str],
        query: &str,
        body: &[u8],
    ) -> Result<Reply, Fault> {
        match (kind, method.as_str(), rest) {
            ("integrations", "GET", []) => self.list_part(owner, api, query, |record| values(&record.integrations)),
            ("integrations", "POST", []) => Ok(Reply::json(201, &self.put_integration(owner, api, None, read(body)?)?)),
            ("integrations", "GET", [id]) => self.read(owner, api, |record| {
                found(record.integrations.get(*id), || unknown("Integration", id))
            }),
            ("integrations", "PATCH", [id]) => Ok(Reply::json(
                200,
                &self.put_integration(owner, api, Some(id), read(body)?)?,
            )),
            ("integrations", "DELETE", [id]) => none(self.delete_integration(owner, api, id)),

            ("routes", "GET", []) => self.list_part(owner, api, query, |record| values(&record.routes)),
            ("routes", "POST", []) => Ok(Reply::json(201, &self.put_route(owner, api, None, read(body)?)?)),
            ("routes", "GET", [id]) => self.read(owner, api, |record| {
                found(record.routes.get(*id), || unknown("Route", id))
            }),
            ("routes", "PATCH", [id]) => Ok(Reply::json(200, &self.put_route(owner, api, Some(id), read(body)?)?)),
            ("routes", "DELETE", [id]) => none(self.delete_route(owner, api, id)),

            ("authorizers", "GET", []) => self.list_part(owner, api, query, |record| values(&record.authorizers)),
            ("authorizers", "POST", []) => Ok(Reply::json(201, &self.put_authorizer(owner, api, None, read(body)?)?)),
            ("authorizers", "GET", [id]) => self.read(owner, api, |record| {
                found(record.authorizers.get(*id), || unknown("Authorizer", id))
            }),
            ("authorizers", "PATCH", [id]) => Ok(Reply::json(
                200,
                &self.put_authorizer(owner, api, Some(id), read(body)?)?,
            )),
            ("authorizers", "DELETE", [id]) => none(self.delete_authorizer(owner, api, id)),

            ("deployments", "GET", []) => self.list_part(owner, api, query, |record| {
                let mut newest_first: Vec<_> = record.deployments.values().collect();
                newest_first.sort_by(|a, b| b.created_date.cmp(&a.created_date));
                newest_first.into_iter().map(value).collect()
            }),
            ("deployments", "POST", []) => Ok(Reply::json(201, &self.create_deployment(owner, api, read(body)?)?)),
            ("deployments", "GET", [id]) => self.read(owner, api, |record| {
                found(record.deployments.get(*id), || unknown("Deployment", id))
            }),
            ("deployments", "PATCH", [id]) => {
                Ok(Reply::json(200, &self.update_deployment(owner, api, id, read(body)?)?))
            }
            ("deployments", "DELETE", [id]) => none(self.delete_deployment(owner, api, id)),

            ("stages", "GET", []) => self.list_part(owner, api, query, |record| values(&record.stages)),
            ("stages", "POST", []) => Ok(Reply::json(201, &self.create_stage(owner, api, read(body)?)?)),
            ("stages", "GET", [name]) => self.read(owner, api, |record| found(record.stages.get(*name), unknown_stage)),
            ("stages", "PATCH", [name]) => Ok(Reply::json(200, &self.update_stage(owner, api, name, read(body)?)?)),
            ("stages", "DELETE", [name]) => none(self.delete_stage(owner, api, name)),
            ("stages", "DELETE", [name, "accesslogsettings"]) => none(self.delete_access_log(owner, api, name)),
            ("stages", "DELETE", [name, "routesettings", key @ ..]) => {
                none(self.delete_route_settings(owner, api, name, &key.join("/")))
            }

            // Objects that HTTP APIs have none of, so that clients which look for them find nothing.
            ("models", "GET", []) => self.list_part(owner, api, query, |_| Vec::new()),
            _ => Err(unsupported(method, &format!("/v2/apis/{api}/{kind}"))),
        }
    }

    fn list_part(
        &self,
        owner: Owner<'_>,
        api: &str,
        query: &str,
        items: impl FnOnce(&super::model::ApiRecord) -> Vec<Value>,
    ) -> Result<Reply, Fault> {
        let items = self.read(owner, api, |record| Ok(items(record)))?;
        list(query, items)
    }
}

#[derive(serde::Deserialize)]
struct TagsInput {
    #[serde(default)]
    tags: std::collections::BTreeMap<String, String>,
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| Fault::bad_request(format!("Unable to parse the request body: {error}")))
}

fn list<T: Serialize>(query: &str, items: Vec<T>) -> Result<Reply, Fault> {
    let size = match query_parameter(query, "maxResults") {
        None => PAGE,
        Some(text) => text
            .parse()
            .ok()
            .filter(|size| (1..=LARGEST_PAGE).contains(size))
            .ok_or_else(|| Fault::bad_request("Invalid maxResults parameter value specified"))?,
    };
    let token = query_parameter(query, "nextToken");
    let (items, next) = page(items, size, token.as_deref())
        .map_err(|()| Fault::bad_request("Invalid nextToken parameter value specified"))?;
    let mut body = json!({"items": items});
    if let Some(next) = next {
        body["nextToken"] = next.into();
    }
    Ok(Reply::json(200, &body))
}

fn value(item: &impl Serialize) -> Value {
    serde_json::to_value(item).unwrap_or_default()
}

fn values<T: Serialize>(items: &std::collections::BTreeMap<String, T>) -> Vec<Value> {
    items.values().map(value).collect()
}

fn found<T: Serialize>(item: Option<&T>, missing: impl FnOnce() -> Fault) -> Result<Reply, Fault> {
    item.map(|item| Reply::json(200, item)).ok_or_else(missing)
}

fn none(result: Result<(), Fault>) -> Result<Reply, Fault> {
    result.map(|()| Reply::empty(204))
}

fn unsupported(method: &Method, path: &str) -> Fault {
    Fault::bad_request(format!("{method} {path} is not served by the local target"))
}
