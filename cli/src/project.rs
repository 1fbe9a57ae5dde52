//! The project a command works on: its template, and where its functions' code is.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use taskctl_stack::engine::EngineError;
use taskctl_stack::package::PackageError;
use taskctl_stack::site::Site;
use taskctl_stack::template::{EMBEDDED, Loaded, Options, Source, embedded_names, load};

use crate::cli::Global;
use crate::env::{Env, absolute};
use crate::exit::Exit;
use crate::failure::{Failure, Message};
use crate::project_discovery::{Nearest, nearest};

/// Names a template is found by.
pub const TEMPLATE_NAMES: [&str; 2] = ["taskctl.yaml", "taskctl.yml"];

/// A template's text, and where it lies.
#[derive(Debug, Clone)]
pub struct TemplateFile {
    pub source: Source,
    /// Its directory; none for a shipped template.
    pub directory: Option<PathBuf>,
    /// Name of a shipped template.
    pub shipped: Option<&'static str>,
    /// Files of the web sites of a shipped template.
    pub site: &'static [(&'static str, &'static str)],
}

/// Content of web sites by the bucket's logical name.
pub type Sites = BTreeMap<String, Arc<Site>>;

/// A project whose template is valid.
pub struct Project {
    /// The template for the stage.
    pub template: Loaded,
    /// Directory of the template, or the working directory.
    pub directory: PathBuf,
    /// Name of a shipped template: nothing else in the directory belongs to it.
    pub shipped: Option<&'static str>,
    /// Files of the web sites of a shipped template.
    shipped_site: &'static [(&'static str, &'static str)],
}

impl Project {
    /// Finds and reads the template. Nothing is called on AWS before it is valid.
    pub fn open(global: &Global, env: &Env) -> Result<Self, Failure> {
        let file = find(global, env)?;
        let options = Options {
            region: global.target.region.clone(),
        };
        let template = load(&file.source, &global.target.stage, &options)?;
        let app = global
            .target
            .app
            .as_ref()
            .or(global.target.app_without_template.as_ref());
        if let Some(app) = app.filter(|app| **app != template.stack.app) {
            return Err(Failure::usage(
                format!("the template is of application {}, not {app}", template.stack.app),
                format!("leave --app (TASKCTL_APP) out, or name the template of {app} with --file"),
            ));
        }
        let directory = file.directory.unwrap_or_else(|| env.directory.clone());
        Ok(Self {
            template,
            shipped: file.shipped,
            directory,
            shipped_site: file.site,
        })
    }

    /// What the web sites have, by the bucket's logical name; and the folders that should be there and are not.
    pub fn sites(&self) -> Result<(Sites, Vec<PathBuf>), Failure> {
        let (mut sites, mut missing) = (BTreeMap::new(), Vec::new());
        for (name, bucket) in &self.template.stack.buckets {
            let Some(website) = &bucket.website else { continue };
            let within = format!("{name}/");
            let shipped: Vec<(&str, &str)> = self
                .shipped_site
                .iter()
                .filter_map(|(path, text)| Some((path.strip_prefix(&within)?, *text)))
                .collect();
            let folder = self.directory.join(website.source.as_deref().unwrap_or(name));
            let site = if !shipped.is_empty() {
                Site::of_texts(&shipped)
            } else if website.source.is_some() || folder.exists() {
                Site::load(&folder, &website.index_document)
                    .map_err(|error| Failure::caused(format!("web site `{name}`"), &error, error.hint()))?
            } else {
                missing.push(folder);
                continue;
            };
            sites.insert(name.clone(), Arc::new(site));
        }
        Ok((sites, missing))
    }

    /// Why the engine stopped. The functions of a shipped template are in no other project than those that `init` writes.
    pub fn failure(&self, error: EngineError) -> Failure {
        let is_foreign = matches!(
            &error,
            EngineError::Package(
                PackageError::NotAProject { .. } | PackageError::NoBinaries { .. } | PackageError::BinaryMissing { .. }
            )
        );
        let mut failure = Failure::from(error);
        if let (Some(name), true, Message::Report(report)) = (self.shipped, is_foreign, &mut failure.message) {
            report.hint = Some(format!(
                "`taskctl init DIR --template {name}` writes this template with its functions into a new project; \
                 `taskctl init --here` writes a template for the functions of this one"
            ));
        }
        failure
    }

    /// The directory of the functions' Cargo project.
    pub fn handlers(&self, given: Option<&Path>) -> PathBuf {
        match (given, &self.template.handlers.path) {
            (Some(given), _) => absolute(given),
            (None, Some(named)) => self.directory.join(named),
            (None, None) => self.directory.clone(),
        }
    }
}

/// Where there is no template, the application is the one that the environment names.
pub fn name_app(global: &mut Global, env: &Env) {
    if let Ok(Nearest::Nothing | Nearest::OutOfReach(_)) = nearest(&env.directory, template_in) {
        let app = global.target.app_without_template.take();
        global.target.app = global.target.app.take().or(app);
    }
}

fn template_in(folder: &Path) -> Option<PathBuf> {
    TEMPLATE_NAMES
        .map(|name| folder.join(name))
        .into_iter()
        .find(|path| path.is_file())
}

/// The template's text: the given file or built-in template, else the nearest file up to the root of the repository.
pub fn find(global: &Global, env: &Env) -> Result<TemplateFile, Failure> {
    if let Some(path) = &global.target.file {
        // A file of this name is meant before the built-in template.
        return match shipped(path).filter(|_| !path.is_file()) {
            Some(shipped) => Ok(shipped),
            None => read(path),
        };
    }
    match nearest(&env.directory, template_in) {
        Ok(Nearest::Found(path)) => {
            let shown = path.strip_prefix(&env.directory).map(Path::to_owned).unwrap_or(path);
            return read(&shown);
        }
        Ok(Nearest::Nothing) => {}
        // Another template than the one meant must not be taken without a word.
        Ok(Nearest::OutOfReach(path)) => {
            return Err(Failure::new(
                Exit::Error,
                format!(
                    "{} is above the working directory, which is not in a repository",
                    path.display()
                ),
                format!(
                    "to use it: -f {0}; to use it in all directories below: (cd {1} && git init)",
                    path.display(),
                    folder(&path)
                ),
            ));
        }
        Err((path, distrust)) => {
            return Err(distrust.failure(&path, &format!("to use it anyway: -f {}", path.display())));
        }
    }
    Err(Failure::new(
        Exit::Error,
        format!("there is no {} in {}", TEMPLATE_NAMES[0], env.directory.display()),
        "`taskctl init` creates one; `-f FILE` uses another, `-f platform` the built-in one",
    ))
}

/// The built-in template of a name.
fn shipped(name: &Path) -> Option<TemplateFile> {
    let shipped = EMBEDDED.iter().find(|shipped| Path::new(shipped.name) == name)?;
    Some(TemplateFile {
        source: Source::new(format!("{}.yaml (built-in)", shipped.name), shipped.text),
        directory: None,
        shipped: Some(shipped.name),
        site: shipped.site,
    })
}

fn folder(path: &Path) -> String {
    path.parent().unwrap_or(path).display().to_string()
}

fn read(path: &Path) -> Result<TemplateFile, Failure> {
    let text = fs::read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::new(
            Exit::Error,
            format!("template {} does not exist", path.display()),
            format!(
                "`taskctl init` creates one; built-in templates for -f: {}",
                embedded_names().join(", ")
            ),
        ),
        ErrorKind::IsADirectory => Failure::new(
            Exit::Error,
            format!("{} is a directory, not a template", path.display()),
            format!("give the file: -f {}", path.join(TEMPLATE_NAMES[0]).display()),
        ),
        _ => Failure::io("reading", path, &error),
    })?;
    let directory = absolute(path).parent().map(Path::to_owned);
    Ok(TemplateFile {
        source: Source::new(path.display().to_string(), text),
        directory,
        shipped: None,
        site: &[],
    })
}
