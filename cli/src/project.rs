//! The project a command works on: its template, and where its functions' code is.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use taskctl_stack::template::{EMBEDDED, Loaded, Options, Source, load};

use crate::args::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::surroundings::{Surroundings, absolute};

/// Names a template is found by.
pub const TEMPLATE_NAMES: [&str; 2] = ["taskctl.yaml", "taskctl.yml"];

/// A template's text, and where it lies.
#[derive(Debug, Clone)]
pub struct TemplateFile {
    /// The text.
    pub source: Source,
    /// Its directory; none for a shipped template.
    pub directory: Option<PathBuf>,
}

/// A project whose template is valid.
pub struct Project {
    /// The template for the stage.
    pub template: Loaded,
    /// Directory of the template, or the working directory.
    pub directory: PathBuf,
}

impl Project {
    /// Finds and reads the template. Nothing is called on AWS before it is valid.
    pub fn open(global: &Global, surroundings: &Surroundings) -> Result<Self, Failure> {
        let file = find(global, surroundings)?;
        let options = Options {
            region: global.region.clone(),
        };
        let template = load(&file.source, &global.stage, &options)?;
        let directory = file.directory.unwrap_or_else(|| surroundings.directory.clone());
        Ok(Self { template, directory })
    }

    /// The directory of the functions' Cargo project.
    pub fn handlers(&self, given: Option<&Path>) -> PathBuf {
        match (given, &self.template.handlers) {
            (Some(given), _) => absolute(given),
            (None, Some(named)) => self.directory.join(named),
            (None, None) => self.directory.clone(),
        }
    }
}

/// The template's text: the given file, the nearest one above, or the shipped default.
pub fn find(global: &Global, surroundings: &Surroundings) -> Result<TemplateFile, Failure> {
    if let Some(path) = &global.file {
        return read(path);
    }
    let near = surroundings
        .directory
        .ancestors()
        .flat_map(|dir| TEMPLATE_NAMES.map(|name| dir.join(name)));
    if let Some(path) = near.into_iter().find(|path| path.is_file()) {
        let shown = path
            .strip_prefix(&surroundings.directory)
            .map(Path::to_owned)
            .unwrap_or(path);
        return read(&shown);
    }
    let Some(shipped) = EMBEDDED.first() else {
        return Err(Failure::usage("there is no template", "name one with -f FILE"));
    };
    Ok(TemplateFile {
        source: Source::new(format!("{}.yaml (shipped)", shipped.name), shipped.text),
        directory: None,
    })
}

fn read(path: &Path) -> Result<TemplateFile, Failure> {
    let text = fs::read(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Failure::new(
            Exit::Error,
            format!("there is no template {}", path.display()),
            "`taskctl init` makes one; -f FILE names another",
        ),
        ErrorKind::IsADirectory => Failure::new(
            Exit::Error,
            format!("{} is a directory, not a template", path.display()),
            format!("name the file: -f {}", path.join(TEMPLATE_NAMES[0]).display()),
        ),
        _ => Failure::io("reading", path, &error),
    })?;
    let directory = absolute(path).parent().map(Path::to_owned);
    Ok(TemplateFile {
        source: Source::new(path.display().to_string(), text),
        directory,
    })
}
