//! What a Cargo project has for the functions: the package and the binary of each. Cargo is asked; the answer is decided here,
//! purely.

use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, Target};

use super::cargo::Cargo;
use super::error::{NamedBinary, PackageError};
use super::{FunctionSource, PackageRequest, builder};

/// A binary of the project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binary {
    /// The Cargo package that has it.
    pub package: String,
    /// That package's manifest.
    pub manifest: PathBuf,
    /// Its name.
    pub name: String,
    /// Features without which Cargo does not build it.
    pub required_features: Vec<String>,
}

/// A project, as far as its functions need it.
#[derive(Debug, Clone)]
pub struct Project {
    /// The binaries of the request's functions, in its order.
    pub binaries: Vec<Binary>,
    /// The setting that hides where Cargo's home is, as Cargo takes it with `--config`.
    pub remap: Option<String>,
}

impl Project {
    /// Asks Cargo.
    pub async fn of(request: &PackageRequest) -> Result<Self, PackageError> {
        let mut remap = request.cargo_home.as_deref().and_then(builder::remap);
        let mut metadata = metadata(&request.cargo, remap.as_deref()).await;
        // The project may give its own flags as one text, to which Cargo adds no list: then paths stay as they are.
        if remap.is_some() && metadata.as_ref().is_err_and(is_about_setting) {
            remap = None;
            metadata = self::metadata(&request.cargo, None).await;
        }
        Ok(Self {
            binaries: resolve(&metadata?, &request.cargo.directory, &request.functions)?,
            remap,
        })
    }
}

fn is_about_setting(error: &PackageError) -> bool {
    matches!(error, PackageError::Manifest { said, .. } if said.0.contains("--config cli option"))
}

/// What Cargo says of the project.
async fn metadata(cargo: &Cargo, config: Option<&str>) -> Result<Metadata, PackageError> {
    let arguments: Vec<&str> = config.iter().flat_map(|config| ["--config", config]).collect();
    cargo.metadata(&[&arguments[..], &["--no-deps"]].concat()).await
}

fn resolve(metadata: &Metadata, directory: &Path, functions: &[FunctionSource]) -> Result<Vec<Binary>, PackageError> {
    let mut all: Vec<Binary> = Vec::new();
    for package in metadata.workspace_packages() {
        let binaries = package.targets.iter().filter(|target| target.is_bin());
        all.extend(binaries.map(|target: &Target| Binary {
            package: package.name.to_string(),
            manifest: package.manifest_path.clone().into(),
            name: target.name.clone(),
            required_features: target.required_features.clone(),
        }));
    }
    all.sort();
    if all.is_empty() {
        return Err(PackageError::NoBinaries {
            workspace: metadata.workspace_root.clone().into(),
            packages: metadata
                .workspace_packages()
                .iter()
                .map(|one| one.name.to_string())
                .collect(),
        });
    }
    let nearest = nearest_package(&all, directory);
    functions
        .iter()
        .map(|source| of_function(source, &all, nearest))
        .collect()
}

/// The package whose folder the directory lies in.
fn nearest_package<'all>(all: &'all [Binary], directory: &Path) -> Option<&'all Path> {
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let manifests = all.iter().map(|binary| binary.manifest.as_path());
    let around = manifests.filter(|manifest| manifest.parent().is_some_and(|folder| directory.starts_with(folder)));
    around.max_by_key(|manifest| manifest.components().count())
}

fn of_function(source: &FunctionSource, all: &[Binary], nearest: Option<&Path>) -> Result<Binary, PackageError> {
    let named = |is: &dyn Fn(&str) -> bool| -> Vec<&Binary> { all.iter().filter(|binary| is(&binary.name)).collect() };
    let mut found = named(&|name| name == source.binary);
    if found.is_empty() {
        // Names of functions and of binaries differ in this most often.
        let plain = |name: &str| name.replace('-', "_");
        found = named(&|name| plain(name) == plain(&source.binary));
    }
    if found.len() > 1
        && let Some(own) = found.iter().find(|binary| Some(binary.manifest.as_path()) == nearest)
    {
        return Ok((*own).clone());
    }
    let name = |binary: &Binary| NamedBinary {
        name: binary.name.clone(),
        package: binary.package.clone(),
    };
    match found[..] {
        [one] => Ok(one.clone()),
        [] => Err(PackageError::BinaryMissing {
            function: source.function.clone(),
            binary: source.binary.clone(),
            available: all.iter().map(name).collect(),
        }),
        _ => Err(PackageError::BinaryAmbiguous {
            function: source.function.clone(),
            found: found.into_iter().map(name).collect(),
        }),
    }
}
