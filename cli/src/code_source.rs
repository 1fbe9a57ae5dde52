//! The functions' code on its way into a plan: built here, or made before and read from a directory.

use std::path::Path;

use taskctl_stack::event::{Event, Events};
use taskctl_stack::package::{
    Destination, FunctionSource, Package, PackageError, PackageRequest, SourceVersion, check_runtimes, functions_of,
    package, read_artifacts, source_version,
};

use crate::cli::BuildArgs;
use crate::env::{Env, absolute};
use crate::project::Project;

/// Where code comes from.
#[derive(Debug, Clone)]
pub enum CodeSource {
    /// It is built.
    Build(Box<PackageRequest>),
    /// It was packaged before.
    Made {
        /// The packages, verified.
        packages: Vec<Package>,
        /// The version they are of.
        version: Option<SourceVersion>,
    },
}

impl CodeSource {
    /// Code that is built from a project's functions.
    pub fn build(project: &Project, args: &BuildArgs, destination: Destination, env: &Env) -> Self {
        let manifest_dir = project.handlers(args.handlers.as_deref());
        let handlers = &project.template.handlers;
        let is_quick = destination == Destination::ThisMachine && !args.release;
        Self::Build(Box::new(PackageRequest {
            functions: functions_of(&project.template.stack),
            destination,
            profile: if is_quick {
                "dev".to_owned()
            } else {
                handlers.profile.clone()
            },
            features: handlers.features.clone(),
            arguments: handlers.arguments.clone(),
            target_dir: None,
            out_dir: env.keep().join("packages"),
            cargo: env.cargo(&manifest_dir),
            // Where the functions run, the paths of this machine are no secret, and its builds are shared with the user's own.
            cargo_home: env.cargo_home.clone().filter(|_| destination == Destination::Lambda),
            template_dir: project.directory.clone(),
        }))
    }

    /// Code that was packaged before.
    pub fn artifacts(
        directory: &Path,
        functions: &[FunctionSource],
        destination: Destination,
    ) -> Result<Self, PackageError> {
        check_runtimes(functions, destination)?;
        let (packages, version) = read_artifacts(&absolute(directory), functions)?;
        Ok(Self::Made { packages, version })
    }

    /// The version that the code is of.
    pub async fn version(&self) -> Option<SourceVersion> {
        match self {
            Self::Build(request) => source_version(&request.cargo.directory).await,
            Self::Made { version, .. } => version.clone(),
        }
    }

    pub async fn packages(self, events: &Events) -> Result<Vec<Package>, PackageError> {
        match self {
            Self::Build(request) => package(&request, events).await,
            Self::Made { packages, .. } => {
                for package in &packages {
                    events.emit(Event::Packaged {
                        function: package.function.clone(),
                        zip_bytes: package.zip_bytes,
                        code_sha256: package.code_sha256.clone(),
                    });
                }
                Ok(packages)
            }
        }
    }
}
