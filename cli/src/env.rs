//! What surrounds the command: environment variables, terminals, directories. Read once, here and nowhere else.

use std::env;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use console::Term;
use jiff::Timestamp;

use taskctl_stack::package::Cargo;
use taskctl_stack::release::record::NO_USER;

use crate::failure::Failure;
use crate::project_discovery::{Distrust, Nearest, distrust, nearest};
use crate::ui::style::{ColorWishes, Reader, Style};

/// The surroundings of a run.
#[derive(Debug, Clone)]
pub struct Env {
    pub directory: PathBuf,
    /// The command line, without the program's name.
    pub arguments: Vec<String>,
    /// Style of standard output.
    pub out: Style,
    /// Style of standard error.
    pub err: Style,
    /// Whether there is an operator to prompt.
    pub audience: Audience,
    /// The Cargo that runs this program, as `cargo run` does.
    outer_cargo: Option<PathBuf>,
    /// The package that it runs.
    outer_project: Option<PathBuf>,
    pub cargo_home: Option<PathBuf>,
    /// Region of the AWS environment variables.
    pub region: Option<String>,
    /// File of the job summary on GitHub Actions.
    pub github_summary: Option<PathBuf>,
    /// Name of the control bucket, when given.
    pub control_bucket: Option<String>,
    /// Who runs it: the person, or the one who set off the CI job.
    pub user: String,
    pub host: String,
    /// Where taskctl keeps what all projects of the user share.
    pub cache: PathBuf,
    /// Root of the local target, when given.
    pub local_root: Option<PathBuf>,
    /// Python for the local target, when given.
    pub local_python: Option<PathBuf>,
    /// How long functions of the local target take to get ready, in milliseconds.
    pub local_settling_ms: u64,
    /// Endpoints of AWS services that the environment names, by the variable's name.
    pub endpoints: Vec<(String, String)>,
    /// When the session of the AWS environment variables ends, where they say so.
    pub session_ends: Option<Timestamp>,
    /// Where taskctl keeps what it made here, or why it must not be used.
    pub kept: Result<PathBuf, (PathBuf, Distrust)>,
}

/// Whether an operator is at the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// A person who can answer.
    Person,
    Nobody,
}

impl Env {
    pub fn read(no_color_flag: bool) -> Self {
        let wishes = ColorWishes {
            no_color_flag,
            no_color: text("NO_COLOR"),
            clicolor_force: text("CLICOLOR_FORCE"),
            term: text("TERM"),
        };
        let width = |term: &Term| {
            let columns = text("COLUMNS").and_then(|columns| columns.parse().ok());
            term.is_term()
                .then(|| columns.unwrap_or_else(|| usize::from(term.size().1)))
        };
        let (out, err) = (Term::stdout(), Term::stderr());
        let person = std::io::stdin().is_terminal() && err.is_term();
        let directory = env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        Self {
            kept: kept(&directory),
            arguments: env::args_os()
                .skip(1)
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect(),
            out: Style::decide(&wishes, width(&out), reader(&std::io::stdout())),
            err: Style::decide(&wishes, width(&err), reader(&std::io::stderr())),
            audience: if person { Audience::Person } else { Audience::Nobody },
            outer_cargo: path("CARGO"),
            outer_project: path("CARGO_MANIFEST_DIR"),
            cargo_home: path("CARGO_HOME").or_else(|| Some(env::home_dir()?.join(".cargo"))),
            region: text("AWS_REGION")
                .or_else(|| text("AWS_DEFAULT_REGION"))
                .filter(|region| !region.is_empty()),
            github_summary: path("GITHUB_STEP_SUMMARY"),
            control_bucket: text("TASKCTL_CONTROL_BUCKET").filter(|name| !name.is_empty()),
            user: USER_NAMES
                .iter()
                .find_map(|name| text(name).filter(|user| !user.is_empty()))
                .unwrap_or_else(|| NO_USER.to_owned()),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            cache: cache(
                path("TASKCTL_CACHE"),
                path("XDG_CACHE_HOME"),
                env::home_dir(),
                cfg!(target_os = "macos"),
            )
            .unwrap_or_else(|| directory.join(KEEP).join("cache")),
            local_root: path("TASKCTL_LOCAL_ROOT"),
            local_python: path("TASKCTL_LOCAL_PYTHON"),
            local_settling_ms: text("TASKCTL_LOCAL_SETTLING_MS")
                .and_then(|text| text.parse().ok())
                .unwrap_or_default(),
            endpoints: endpoints(),
            session_ends: text("AWS_CREDENTIAL_EXPIRATION").and_then(|at| at.parse().ok()),
            directory,
        }
    }

    /// The Cargo for a project.
    pub fn cargo(&self, project: &Path) -> Cargo {
        let own_toolchain = self.has_own_toolchain(project);
        let outer = self.outer_cargo.clone().filter(|_| !own_toolchain);
        Cargo {
            program: outer.unwrap_or_else(|| PathBuf::from("cargo")),
            directory: project.to_owned(),
            own_toolchain,
        }
    }

    /// Whether a project has a toolchain file and this program was started by Cargo in another project: Cargo then hands down its own
    /// toolchain by `RUSTUP_TOOLCHAIN`, which rustup takes before any file.
    /// <https://rust-lang.github.io/rustup/overrides.html>
    fn has_own_toolchain(&self, project: &Path) -> bool {
        let Some(outer) = &self.outer_project else { return false };
        let project = absolute(project);
        let file = project.ancestors().find(|folder| {
            let names = ["rust-toolchain.toml", "rust-toolchain"];
            names.iter().any(|name| folder.join(name).is_file())
        });
        file.is_some_and(|folder| !outer.starts_with(folder))
    }

    /// Where taskctl keeps what it made here: the nearest `.taskctl` up to the root of the repository, else one in the working
    /// directory. No command begins where that must not be used.
    pub fn keep(&self) -> PathBuf {
        self.kept.clone().unwrap_or_else(|_| self.directory.join(KEEP))
    }

    /// Why no command may begin here.
    pub fn refusal(&self) -> Option<Failure> {
        let named = self.local_root.as_deref();
        let named = named.and_then(|root| Some((root, distrust(root)?)));
        let found = self
            .kept
            .as_ref()
            .err()
            .map(|(path, distrust)| (&**path, distrust.clone()));
        let (path, distrust) = named.or(found)?;
        Some(distrust.failure(path, &format!("to start over: mv {0} {0}.old", path.display())))
    }
}

/// Who reads what is no terminal. GitHub's runner reads the pipes that a step writes to; a file is for a program.
/// <https://docs.github.com/en/actions/reference/workflows-and-actions/variables>
fn reader(stream: &impl std::os::fd::AsFd) -> Reader {
    let is_file =
        || rustix::fs::fstat(stream).is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file());
    match text("GITHUB_ACTIONS").as_deref() == Some("true") && !is_file() {
        true => Reader::Runner,
        false => Reader::Program,
    }
}

fn kept(directory: &Path) -> Result<PathBuf, (PathBuf, Distrust)> {
    let find = |folder: &Path| Some(folder.join(KEEP)).filter(|keep| keep.is_dir());
    let keep = match nearest(directory, find)? {
        Nearest::Found(keep) => keep,
        Nearest::Nothing | Nearest::OutOfReach(_) => return Ok(directory.join(KEEP)),
    };
    // The local target's folder holds the programs that it runs.
    let root = keep.join("local");
    match distrust(&root) {
        Some(distrust) => Err((root, distrust)),
        None => Ok(keep),
    }
}

/// <https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>
fn endpoints() -> Vec<(String, String)> {
    let is_ignored =
        text("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if is_ignored {
        return Vec::new();
    }
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .filter(|(name, value)| name.starts_with("AWS_ENDPOINT_URL") && !value.is_empty())
        .collect()
}

/// Variables that name who runs it, the most telling first.
const USER_NAMES: [&str; 4] = ["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER", "LOGNAME"];

/// Name of the directory of what taskctl keeps.
const KEEP: &str = ".taskctl";

fn text(name: &str) -> Option<String> {
    env::var(name).ok()
}

fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The cache folder: the one that is named, else the one for this program where the system keeps such folders. None without a home.
/// <https://specifications.freedesktop.org/basedir-spec/latest/>
fn cache(named: Option<PathBuf>, xdg: Option<PathBuf>, home: Option<PathBuf>, is_mac: bool) -> Option<PathBuf> {
    const NAME: &str = "taskctl";
    if let Some(named) = named {
        return Some(absolute(&named));
    }
    // The specification says to ignore a relative one.
    let xdg = xdg.filter(|folder| folder.is_absolute());
    let of_system = match (xdg, is_mac) {
        (Some(xdg), _) => xdg,
        (None, true) => home?.join("Library/Caches"),
        (None, false) => home?.join(".cache"),
    };
    Some(of_system.join(NAME))
}

/// A path from the working directory.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_folder_is_where_the_system_keeps_them() {
        let check = |named: Option<&str>, xdg: Option<&str>, is_mac, expected: &str| {
            let found = cache(
                named.map(PathBuf::from),
                xdg.map(PathBuf::from),
                Some("/home/ada".into()),
                is_mac,
            );
            assert_eq!(found.as_deref(), Some(Path::new(expected)), "{named:?} {xdg:?}");
        };
        check(None, None, false, "/home/ada/.cache/taskctl");
        check(None, None, true, "/home/ada/Library/Caches/taskctl");
        check(None, Some("/xdg"), false, "/xdg/taskctl");
        check(None, Some("relative"), false, "/home/ada/.cache/taskctl");
        check(Some("/named"), Some("/xdg"), false, "/named");
        assert_eq!(cache(None, None, None, false), None);
    }
}
