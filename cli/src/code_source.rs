//! The functions' code on its way into a plan: built here, or made before and read from a directory.

use std::path::{Path, PathBuf};

use taskctl_stack::event::{Event, Events};
use taskctl_stack::package::{
    Destination, FunctionSource, HANDLERS_PACKAGE, HANDLERS_PROFILE, Package, PackageError, PackageRequest,
    SourceVersion, package, read_artifacts, source_version,
};

use crate::env::{Env, absolute};

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
    /// Code that is built in a directory.
    pub fn build(functions: Vec<FunctionSource>, destination: Destination, manifest_dir: PathBuf, env: &Env) -> Self {
        Self::Build(Box::new(PackageRequest {
            functions,
            destination,
            manifest_dir,
            cargo_package: HANDLERS_PACKAGE.to_owned(),
            profile: HANDLERS_PROFILE.to_owned(),
            target_dir: None,
            out_dir: env.keep().join("packages"),
            cargo: env.cargo.clone(),
            cargo_home: env.cargo_home.clone(),
        }))
    }

    /// Code that was packaged before.
    pub fn artifacts(directory: &Path, functions: &[FunctionSource]) -> Result<Self, PackageError> {
        let (packages, version) = read_artifacts(&absolute(directory), functions)?;
        Ok(Self::Made { packages, version })
    }

    /// The version that the code is of.
    pub async fn version(&self) -> Option<SourceVersion> {
        match self {
            Self::Build(request) => source_version(&request.manifest_dir).await,
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
