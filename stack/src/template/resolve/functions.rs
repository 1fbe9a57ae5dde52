//! Functions and grants of the resolved stack.

use std::collections::{BTreeMap, BTreeSet};

use super::{Resolver, rules};
use crate::template::fault::{Code, Fault, Span};
use crate::template::grammar::{NamedValue, Spanned, TextRule};
use crate::template::language::{FunctionSource, GrantSource, LogicalName, StatementSource, VpcSource};
use crate::template::model::{Access, Function, FunctionCode, Grant, GrantTarget, OwnStatement, Vpc, is_custom};

/// Environment of a function, keys and values as JSON.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>
const LARGEST_ENVIRONMENT: usize = 4096;

/// Inline policies of a role, characters without white space.
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html>
const LARGEST_POLICY: usize = 10_240;

/// Retention in days that CloudWatch Logs takes.
/// <https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html>
const RETENTIONS: &[u32] = &[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
];

/// Variables that Lambda sets and that a function cannot have itself, each by its name: other names that begin alike, such as
/// `AWS_LAMBDA_EXEC_WRAPPER`, are the function's own.
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>
const RESERVED_VARIABLES: &[&str] = &[
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];

/// Variables of statements that only AWS tells.
const LATER: &[&str] = &["account", "partition"];

impl Resolver<'_> {
    pub(super) fn functions(&mut self) -> BTreeMap<String, Function> {
        let mut functions = BTreeMap::new();
        for (logical, NamedValue { key, value }) in self.source.functions.value.iter() {
            self.mark(format!("functions.{logical}"), *key);
            functions.insert(logical.to_owned(), self.function(logical, *key, value));
        }
        functions
    }

    fn function(&mut self, logical: &str, key: Span, function: &FunctionSource) -> Function {
        let environment: BTreeMap<String, String> = function
            .environment
            .value
            .iter()
            .map(|(name, variable)| {
                (
                    name.to_owned(),
                    self.fill(&variable.value.value.text, variable.value.span),
                )
            })
            .collect();
        let grants: Vec<Grant> = function
            .grants
            .value
            .iter()
            .filter_map(|grant| self.grant(grant))
            .collect();
        self.environment(logical, function, &environment, &grants);
        let statements: Vec<OwnStatement> = function
            .statements
            .value
            .iter()
            .map(|statement| self.statement(statement))
            .collect();
        self.policy_size(logical, function.grants.span, &grants, &statements);
        self.retention(function.log_retention.value.units(), function.log_retention.span);
        let code = self.code(function);
        let name = self.physical_name(&rules::FUNCTION, logical, key, function.name.as_ref());
        if name.is_none() && LogicalName::check(logical, key).is_ok() {
            self.shortened(logical, key);
        }
        Function {
            name,
            binary: function
                .binary
                .as_ref()
                .map_or_else(|| logical.to_owned(), |binary| binary.value.text.clone()),
            code,
            description: function
                .description
                .as_ref()
                .map(|text| self.fill(&text.value.text, text.span)),
            architecture: function.architecture.value.0,
            memory_mb: function.memory.value.u32(),
            timeout_seconds: function.timeout.value.units(),
            environment,
            grants,
            statements,
            layers: self.layers(function),
            vpc: function.vpc.as_ref().and_then(|vpc| self.vpc(vpc)),
            permissions_boundary: function
                .permissions_boundary
                .as_ref()
                .map(|boundary| boundary.value.text.clone()),
            log_retention_days: function.log_retention.value.units(),
            log_level: function.log_level.value.0.0.to_owned(),
            tracing: function.tracing.value,
            reserved_concurrency: function.reserved_concurrency.map(|reserved| reserved.value.u32()),
            ephemeral_storage_mb: function.ephemeral_storage.value.u32(),
            check_event: self.check_event(function),
        }
    }

    /// Layers, at most as many as Lambda takes.
    /// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>
    fn layers(&mut self, function: &FunctionSource) -> Vec<String> {
        const MOST: usize = 5;
        let layers = &function.layers;
        if layers.value.len() > MOST {
            let message = format!("{} layers: a function has at most {MOST}", layers.value.len());
            self.report(Fault::error(Code::BadValue, message).at(layers.span));
        }
        let region = self.region.clone();
        for layer in &layers.value {
            let of = layer.value.text.split(':').nth(3).unwrap_or_default();
            if of != region {
                let fault = Fault::error(
                    Code::BadValue,
                    format!("the layer is in {of}, and the function in {region}"),
                );
                self.report(
                    fault
                        .at(layer.span)
                        .help("Lambda takes layers of the function's own region"),
                );
            }
        }
        layers.value.iter().map(|layer| layer.value.text.clone()).collect()
    }

    /// A network. One without a subnet or a security group is none.
    /// <https://docs.aws.amazon.com/lambda/latest/api/API_VpcConfig.html>
    fn vpc(&mut self, vpc: &Spanned<VpcSource>) -> Option<Vpc> {
        let VpcSource {
            subnets,
            security_groups,
            span: _,
        } = &vpc.value;
        let mut fault = |what: &str, count: usize, most: usize, span: Span| {
            let message = match count {
                0 => format!("`vpc` needs at least one of `{what}`"),
                count if count > most => format!("{count} {what}: a function has at most {most}"),
                _ => return true,
            };
            self.report(Fault::error(Code::BadValue, message).at(span));
            false
        };
        let fits = [
            fault("subnets", subnets.value.len(), 16, subnets.span),
            fault("security_groups", security_groups.value.len(), 5, security_groups.span),
        ];
        fits.iter().all(|fits| *fits).then(|| Vpc {
            subnets: subnets.value.iter().map(|one| one.value.text.clone()).collect(),
            security_groups: security_groups.value.iter().map(|one| one.value.text.clone()).collect(),
        })
    }

    /// The event that a function is checked with. A faulty one is none.
    fn check_event(&mut self, function: &FunctionSource) -> Option<String> {
        let event = function.check_event.as_ref()?;
        let text = self.fill(&event.value.text, event.span);
        if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&text) {
            let fault = Fault::error(Code::BadValue, format!("`check_event` is not JSON: {error}"))
                .at(event.span)
                .help("quote it as a whole: check_event: '{\"Records\": []}'");
            self.report(fault);
            return None;
        }
        Some(text)
    }

    /// Code that is not built here. A faulty one is none.
    fn code(&mut self, function: &FunctionSource) -> Option<FunctionCode> {
        let Some(code) = &function.code else {
            let stray = [
                function.runtime.as_ref().map(|runtime| ("runtime", runtime.span)),
                function.handler.as_ref().map(|handler| ("handler", handler.span)),
            ];
            if let Some((key, span)) = stray.into_iter().flatten().next() {
                let fault =
                    Fault::error(Code::MissingKey, format!("`{key}` is of code that is not built here")).at(span);
                self.report(
                    fault.help("add `code: PATH`, or leave it out: what is built here runs on provided.al2023"),
                );
            }
            return None;
        };
        if let Some(binary) = &function.binary {
            let fault = Fault::error(Code::Conflict, "a function is made of a binary or of code, not of both")
                .labelled(code.span, "code")
                .with(binary.span, "binary")
                .help("leave `binary` out: `code` is not built here");
            self.report(fault);
            return None;
        }
        let Some(runtime) = &function.runtime else {
            let fault = Fault::error(Code::MissingKey, "`code` needs `runtime`").at(code.span);
            self.report(
                fault.help("e.g. `runtime: python3.13`, or `runtime: provided.al2023` for a program `bootstrap`"),
            );
            return None;
        };
        let handler = match &function.handler {
            Some(handler) => handler.value.text.clone(),
            None if is_custom(&runtime.value.text) => "bootstrap".to_owned(),
            None => {
                let text = format!("`runtime: {}` needs `handler`", runtime.value.text);
                let fault = Fault::error(Code::MissingKey, text).at(runtime.span);
                self.report(fault.help("what the runtime calls, e.g. `handler: app.handler`"));
                return None;
            }
        };
        Some(FunctionCode {
            path: code.value.text.clone(),
            runtime: runtime.value.text.clone(),
            handler,
        })
    }

    fn grant(&mut self, grant: &GrantSource) -> Option<Grant> {
        let on = match (&grant.table, &grant.bucket) {
            (Some(table), None) => {
                self.refer("table", &table.value.text, table.span);
                GrantTarget::Table(table.value.text.clone())
            }
            (None, Some(bucket)) => {
                self.refer("bucket", &bucket.value.text, bucket.span);
                GrantTarget::Bucket(bucket.value.text.clone())
            }
            (Some(table), Some(bucket)) => {
                let fault = Fault::error(Code::Conflict, "a grant is on a table or on a bucket, not on both")
                    .labelled(bucket.span, "bucket")
                    .with(table.span, "table")
                    .help("write two grants");
                self.report(fault);
                return None;
            }
            (None, None) => {
                let fault = Fault::error(Code::MissingKey, "a grant needs `table` or `bucket`").at(grant.span);
                self.report(fault.help("e.g. `{table: tasks, access: [read, write]}`"));
                return None;
            }
        };
        let (kind, allowed): (&str, &[Access]) = match on {
            GrantTarget::Table(_) => ("table", &[Access::Read, Access::Get, Access::Write, Access::Increment]),
            GrantTarget::Bucket(_) => (
                "bucket",
                &[Access::Read, Access::Write, Access::Delete, Access::Presign],
            ),
        };
        for access in &grant.access.value.0 {
            if !allowed.contains(&access.value.0) {
                let words: Vec<&str> = allowed.iter().copied().map(word).collect();
                let fault = Fault::error(
                    Code::BadValue,
                    format!("`{}` cannot be granted on a {kind}", word(access.value.0)),
                )
                .at(access.span)
                .help(format!("allowed on a {kind}: {}", words.join(", ")));
                self.report(fault);
            }
        }
        if let (GrantTarget::Table(_), Some(prefix)) = (&on, &grant.prefix) {
            let fault = Fault::error(Code::Conflict, "`prefix` is for buckets").at(prefix.span);
            self.report(fault.help("remove it; a table is granted as a whole"));
        }
        let mut access: Vec<Access> = grant.access.value.0.iter().map(|access| access.value.0).collect();
        access.sort_unstable();
        access.dedup();
        Some(Grant {
            on,
            access,
            prefix: grant.prefix.as_ref().map(|prefix| prefix.value.text.clone()),
        })
    }

    fn statement(&mut self, statement: &StatementSource) -> OwnStatement {
        let StatementSource { actions, resources, .. } = statement;
        let wide = actions.value.0.iter().find(|action| action.value.text.contains('*'));
        let anything = resources.value.0.iter().find(|resource| resource.value.text == "*");
        if let (Some(action), Some(_), None) = (wide, anything, &statement.allow_wildcard) {
            let message = format!("`{}` would be allowed on everything", action.value.text);
            let fault = Fault::error(Code::BadValue, message)
                .at(action.span)
                .help("name the actions or the resources, or say why it must be so: `allow_wildcard: REASON`");
            self.report(fault);
        }
        let filled = resources
            .value
            .0
            .iter()
            .map(|resource| self.fill_but(&resource.value.text, resource.span, LATER));
        let resources = filled.collect();
        let mut conditions: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for (operator, keys) in statement.conditions.value.iter() {
            for (key, values) in keys.value.value.iter() {
                let values = values.value.value.0.iter();
                let values = values.map(|value| self.fill_but(&value.value.text, value.span, LATER));
                let of_operator = conditions.entry(operator.to_owned()).or_default();
                of_operator.insert(key.to_owned(), values.collect());
            }
        }
        OwnStatement {
            actions: actions.value.0.iter().map(|action| action.value.text.clone()).collect(),
            resources,
            conditions,
        }
    }

    fn environment(
        &mut self,
        logical: &str,
        function: &FunctionSource,
        environment: &BTreeMap<String, String>,
        grants: &[Grant],
    ) {
        let derived: BTreeMap<String, String> = grants
            .iter()
            .map(|grant| {
                let name = match &grant.on {
                    GrantTarget::Table(table) => self.names().table(table),
                    GrantTarget::Bucket(bucket) => self.names().bucket(bucket),
                };
                (grant.on.variable(), name)
            })
            .collect();
        for (name, value) in function.environment.value.iter() {
            let reserved = RESERVED_VARIABLES.contains(&name);
            if reserved {
                let fault =
                    Fault::error(Code::BadName, format!("Lambda keeps the variable `{name}` for itself")).at(value.key);
                self.report(fault.help("choose another name"));
            } else if derived.contains_key(name) {
                let fault =
                    Fault::error(Code::Collision, format!("`{name}` is set by a grant of `{logical}`")).at(value.key);
                self.report(fault.help("remove it: the grant sets it to the physical name"));
            }
        }
        let size = serde_json::to_string(&environment.iter().chain(&derived).collect::<BTreeMap<_, _>>())
            .map_or(0, |json| json.len());
        if size > LARGEST_ENVIRONMENT {
            let message = format!("the environment of `{logical}` has {size} bytes with the variables of its grants");
            let fault = Fault::error(Code::TooMany, message).at(function.environment.span);
            self.report(fault.help(format!(
                "Lambda takes at most {LARGEST_ENVIRONMENT} bytes of keys and values"
            )));
        }
    }

    /// A rough estimate: what cannot fit is found before AWS says so.
    fn policy_size(&mut self, logical: &str, span: Span, grants: &[Grant], statements: &[OwnStatement]) {
        let statement = |grant: &Grant| 320 + 40 * grant.access.len() + grant.prefix.as_ref().map_or(0, String::len);
        let own = serde_json::to_string(statements).map_or(0, |text| text.len());
        let size: usize = 400 + own + grants.iter().map(statement).sum::<usize>();
        if size > LARGEST_POLICY {
            let fault = Fault::warning(
                Code::TooMany,
                format!("the role of `{logical}` will have a policy of about {size} characters"),
            )
            .at(span)
            .help(format!(
                "IAM takes {LARGEST_POLICY} characters of inline policies; split the function"
            ));
            self.report(fault);
        }
    }

    pub(super) fn retention(&mut self, days: u32, span: Span) {
        if RETENTIONS.contains(&days) {
            return;
        }
        let next = RETENTIONS
            .iter()
            .find(|allowed| **allowed > days)
            .copied()
            .unwrap_or(3653);
        let list: Vec<String> = RETENTIONS.iter().map(u32::to_string).collect();
        let fault = Fault::error(
            Code::BadValue,
            format!("CloudWatch Logs cannot keep logs for {days} days"),
        )
        .at(span)
        .help(format!("did you mean `{next}d`?"))
        .help(format!("allowed days: {}", list.join(", ")));
        self.report(fault);
    }

    fn shortened(&mut self, logical: &str, key: Span) {
        let plain = format!("{}-{}-{logical}", self.source.app.value.text, self.stage);
        let name = self.names().function(logical);
        if name != plain {
            let fault = Fault::warning(
                Code::NameTooLong,
                format!("`{plain}` is too long for a Lambda function and becomes `{name}`"),
            )
            .at(key)
            .help("shorten `app`, the stage or the logical name, or give the function a `name`");
            self.report(fault);
        }
    }
}

fn word(access: Access) -> &'static str {
    match access {
        Access::Read => "read",
        Access::Write => "write",
        Access::Increment => "increment",
        Access::Presign => "presign",
        Access::Get => "get",
        Access::Delete => "delete",
    }
}
