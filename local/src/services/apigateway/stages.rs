//! Calls on deployments and stages.

use std::collections::BTreeMap;

use super::model::{AccessLogSettings, ApiRecord, Deployment, DeploymentInput, RouteSettings, Stage, StageInput};
use super::objects::{unknown, unknown_stage};
use super::rules::{
    check_route_settings, check_stage_name, check_stage_variable, checked_access_log, merge, merge_route_settings,
};
use super::{Apis, Owner};
use crate::services::{Fault, now};

impl Apis {
    pub(super) fn create_deployment(
        &self,
        owner: Owner<'_>,
        api_id: &str,
        input: DeploymentInput,
    ) -> Result<Deployment, Fault> {
        self.change(owner, api_id, |record| {
            if record.routes.is_empty() {
                return Err(Fault::bad_request(
                    "At least one route is required before deploying the Api.",
                ));
            }
            if let Some(name) = &input.stage_name {
                let stage = record.stages.get(name).ok_or_else(unknown_stage)?;
                if stage.auto_deploy {
                    return Err(Fault::bad_request(
                        "Deployment ID cannot be set on a stage with auto deploy enabled",
                    ));
                }
            }
            let deployment = self.deploy(record, input.description.filter(|text| !text.is_empty()), false)?;
            if let Some(stage) = input.stage_name.and_then(|name| record.stages.get_mut(&name)) {
                stage.deployment_id = Some(deployment.deployment_id.clone());
                stage.last_updated_date = now();
            }
            Ok(deployment)
        })
    }

    pub(super) fn update_deployment(
        &self,
        owner: Owner<'_>,
        api_id: &str,
        id: &str,
        input: DeploymentInput,
    ) -> Result<Deployment, Fault> {
        self.change(owner, api_id, |record| {
            let deployment = record
                .deployments
                .get_mut(id)
                .ok_or_else(|| unknown("Deployment", id))?;
            super::rules::merge_text(&mut deployment.description, input.description);
            Ok(deployment.clone())
        })
    }

    pub(super) fn delete_deployment(&self, owner: Owner<'_>, api_id: &str, id: &str) -> Result<(), Fault> {
        self.change(owner, api_id, |record| {
            if record
                .stages
                .values()
                .any(|stage| stage.deployment_id.as_deref() == Some(id))
            {
                return Err(Fault::bad_request(
                    "Active stages pointing to this deployment must be moved or deleted",
                ));
            }
            record.deployments.remove(id).ok_or_else(|| unknown("Deployment", id))?;
            Ok(())
        })?;
        self.forget_deployment(api_id, id)
    }

    pub(super) fn create_stage(&self, owner: Owner<'_>, api_id: &str, input: StageInput) -> Result<Stage, Fault> {
        let name = input.stage_name.clone().unwrap_or_default();
        check_stage_name(&name)?;
        self.change(owner, api_id, |record| {
            if record.stages.contains_key(&name) {
                return Err(Fault::conflict("Stage already exists"));
            }
            let stage = Stage {
                access_log_settings: None,
                auto_deploy: false,
                client_certificate_id: None,
                created_date: now(),
                default_route_settings: RouteSettings {
                    detailed_metrics_enabled: Some(false),
                    ..RouteSettings::default()
                },
                deployment_id: None,
                description: None,
                last_deployment_status_message: None,
                last_updated_date: now(),
                route_settings: BTreeMap::new(),
                stage_name: name.clone(),
                stage_variables: BTreeMap::new(),
                tags: input.tags.clone().unwrap_or_default(),
            };
            self.put_stage(record, stage, input)
        })
    }

    pub(super) fn update_stage(
        &self,
        owner: Owner<'_>,
        api_id: &str,
        name: &str,
        input: StageInput,
    ) -> Result<Stage, Fault> {
        self.change(owner, api_id, |record| {
            let stage = record.stages.get(name).cloned().ok_or_else(unknown_stage)?;
            self.put_stage(record, stage, input)
        })
    }

    /// Merges a call into a stage: absent members stay.
    fn put_stage(&self, record: &mut ApiRecord, mut stage: Stage, input: StageInput) -> Result<Stage, Fault> {
        let StageInput {
            access_log_settings,
            auto_deploy,
            client_certificate_id,
            default_route_settings,
            deployment_id,
            description,
            route_settings,
            stage_name: _,
            stage_variables,
            tags: _,
        } = input;
        let auto = auto_deploy.unwrap_or(stage.auto_deploy);
        if let Some(id) = deployment_id.filter(|id| !id.is_empty()) {
            if auto {
                return Err(Fault::bad_request(
                    "Deployment ID cannot be set on a stage with auto deploy enabled",
                ));
            }
            if !record.deployments.contains_key(&id) {
                return Err(Fault::not_found("Invalid deployment identifier specified"));
            }
            stage.deployment_id = Some(id);
        }
        // An empty description is ignored, so it can be changed but not removed.
        merge(&mut stage.description, description.filter(|text| !text.is_empty()));
        merge(&mut stage.client_certificate_id, client_certificate_id);
        if let Some(given) = access_log_settings {
            let kept = stage.access_log_settings.unwrap_or_default();
            stage.access_log_settings = Some(checked_access_log(AccessLogSettings {
                destination_arn: given.destination_arn.or(kept.destination_arn),
                format: given.format.or(kept.format),
            })?);
        }
        if let Some(given) = default_route_settings {
            check_route_settings(&given)?;
            merge_route_settings(&mut stage.default_route_settings, given);
        }
        for (key, given) in route_settings.unwrap_or_default() {
            check_route_settings(&given)?;
            if !record
                .routes
                .values()
                .any(|route| route.route_key.as_deref() == Some(&key))
            {
                return Err(Fault::not_found(format!(
                    "Unable to find Route by key {key} within the provided RouteSettings"
                )));
            }
            merge_route_settings(stage.route_settings.entry(key).or_default(), given);
        }
        for (name, value) in stage_variables.unwrap_or_default() {
            check_stage_variable(&name, &value)?;
            if value.is_empty() {
                stage.stage_variables.remove(&name);
            } else {
                stage.stage_variables.insert(name, value);
            }
        }
        if stage.stage_variables.len() > 100 {
            return Err(Fault::bad_request("A stage can have at most 100 stage variables"));
        }
        let newly_automatic = auto && !stage.auto_deploy;
        stage.auto_deploy = auto;
        stage.last_updated_date = now();
        let name = stage.stage_name.clone();
        record.stages.insert(name.clone(), stage);
        if newly_automatic {
            self.auto_deploy(record)?;
        }
        record.stages.get(&name).cloned().ok_or_else(unknown_stage)
    }

    pub(super) fn delete_stage(&self, owner: Owner<'_>, api_id: &str, name: &str) -> Result<(), Fault> {
        self.change(owner, api_id, |record| {
            record.stages.remove(name).map(drop).ok_or_else(unknown_stage)
        })
    }

    pub(super) fn delete_access_log(&self, owner: Owner<'_>, api_id: &str, name: &str) -> Result<(), Fault> {
        self.change(owner, api_id, |record| {
            record
                .stages
                .get_mut(name)
                .ok_or_else(unknown_stage)?
                .access_log_settings = None;
            Ok(())
        })
    }

    pub(super) fn delete_route_settings(
        &self,
        owner: Owner<'_>,
        api_id: &str,
        name: &str,
        key: &str,
    ) -> Result<(), Fault> {
        self.change(owner, api_id, |record| {
            let stage = record.stages.get_mut(name).ok_or_else(unknown_stage)?;
            stage
                .route_settings
                .remove(key)
                .map(drop)
                .ok_or_else(|| Fault::not_found("Invalid route settings key specified"))
        })
    }
}
