//! Installs the emulator into a virtual environment, once for a user, with pinned versions and hashes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use crate::error::LocalError;
use crate::files;
use crate::options::LocalOptions;

/// Versions and hashes of everything that is installed.
const REQUIREMENTS: &str = include_str!("../../requirements.txt");
/// Size of an installation, in bytes.
const SIZE: u64 = 150 * 1024 * 1024;
/// The program that runs the emulator.
const LAUNCHER: &str = include_str!("../../emulator.py");

/// How long an installation that no local target uses is kept: another version of taskctl may come back to it.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// An installation that a local target uses. It is not removed meanwhile.
#[derive(Debug)]
pub(crate) struct Installation {
    /// Interpreter of the virtual environment.
    pub python: PathBuf,
    /// The program that runs the emulator.
    pub launcher: PathBuf,
    _in_use: File,
}

impl Installation {
    /// Uses an installation for a local target.
    pub(crate) fn open(venv: &Path, options: &LocalOptions) -> Result<Self, LocalError> {
        let used = venv.with_extension("used");
        let in_use = files::lock_shared(&used)?;
        in_use
            .set_modified(SystemTime::now())
            .map_err(|source| LocalError::io("writing", &used, source))?;
        // The launcher belongs to this build of taskctl, not to the requirements.
        let launcher = options.path("emulator.py");
        if fs::read(&launcher).ok().as_deref() != Some(LAUNCHER.as_bytes()) {
            files::write(&launcher, LAUNCHER.as_bytes())?;
        }
        // The root's own, of a version that made one for each.
        let former = own(options);
        if former != venv {
            files::remove(&former)?;
            files::remove(&former.with_extension("lock"))?;
        }
        Ok(Self {
            python: python_of(venv),
            launcher,
            _in_use: in_use,
        })
    }
}

/// Where these requirements are installed completely, if they are: for the user, or in the root by a version that did so.
pub(crate) fn installed(options: &LocalOptions) -> Result<Option<PathBuf>, LocalError> {
    let former = own(options);
    if is_complete(&former) {
        return Ok(Some(former));
    }
    let venv = place(options, &find_python(options)?);
    Ok(is_complete(&venv).then_some(venv))
}

/// Makes sure that the emulator is installed, once for all local targets of the user. An interrupted installation is redone.
pub(crate) fn ensure_installed(options: &LocalOptions) -> Result<PathBuf, LocalError> {
    if let Some(venv) = installed(options)? {
        return Ok(venv);
    }
    let python = find_python(options)?;
    let venv = place(options, &python);
    // Those that start at once wait for each other.
    let _alone = files::lock(&venv.with_extension("lock"))?;
    if !is_complete(&venv) {
        install(&python.program, &venv)?;
        remove_unused(&venv, SystemTime::now())?;
    }
    Ok(venv)
}

/// The installation of a root for itself.
fn own(options: &LocalOptions) -> PathBuf {
    options.path("venv")
}

/// Where these requirements are installed for a Python: another minor version does not find its packages.
fn place(options: &LocalOptions, python: &Python) -> PathBuf {
    let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
    let key = format!("{REQUIREMENTS}\npython {} {system} {machine}\n", python.minor());
    options.cache.join("emulator").join(&hash(&key)[..16])
}

fn python_of(venv: &Path) -> PathBuf {
    venv.join("bin/python")
}

fn is_complete(venv: &Path) -> bool {
    let stamp = fs::read_to_string(stamp_path(venv)).unwrap_or_default();
    stamp == hash(REQUIREMENTS) && python_of(venv).exists()
}

fn stamp_path(venv: &Path) -> PathBuf {
    venv.join("taskctl-complete")
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn install(python: &Path, venv: &Path) -> Result<(), LocalError> {
    files::remove(venv)?;
    let made = run(Command::new(python).args(["-m", "venv", "--clear"]).arg(venv))
        .map_err(|source| LocalError::io("running", python, source))?;
    if !made.status.success() {
        let failure = venv_failure(python, venv, &made);
        let _ = files::remove(venv);
        return Err(failure);
    }

    let requirements = venv.join("requirements.txt");
    files::write(&requirements, REQUIREMENTS.as_bytes())?;
    let installed = python_of(venv);
    let output = run(Command::new(&installed)
        .args([
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--no-input",
            "--quiet",
            "--prefer-binary",
        ])
        .args(["--retries", "2", "--require-hashes", "--requirement"])
        .arg(&requirements))
    .map_err(|source| LocalError::io("running", &installed, source))?;
    if !output.status.success() {
        return Err(pip_failure(venv, available(venv), &text(&output)));
    }
    files::write(&stamp_path(venv), hash(REQUIREMENTS).as_bytes())
}

/// Removes the installations beside this one that nothing uses, and has not for long.
fn remove_unused(venv: &Path, now: SystemTime) -> Result<(), LocalError> {
    let folder = venv.parent().unwrap_or(venv);
    for other in files::children(folder)? {
        if other == venv || !other.is_dir() {
            continue;
        }
        let used = other.with_extension("used");
        let last = fs::metadata(&used).or_else(|_| fs::metadata(&other));
        let last = last.and_then(|metadata| metadata.modified()).unwrap_or(now);
        let is_recent = now.duration_since(last).is_ok_and(|since| since < KEPT);
        // The lock files stay: another process may wait at one.
        let (Some(_alone), Some(_unused), false) = (
            files::try_lock(&other.with_extension("lock"))?,
            files::try_lock(&used)?,
            is_recent,
        ) else {
            continue;
        };
        files::remove(&other)?;
    }
    Ok(())
}

/// An interpreter that is new enough.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Python {
    program: PathBuf,
    /// E.g. `3.11.7`.
    version: String,
}

impl Python {
    /// E.g. `3.11`.
    fn minor(&self) -> &str {
        self.version.rsplit_once('.').map_or(&self.version, |(minor, _)| minor)
    }
}

/// Finds an interpreter that is new enough.
fn find_python(options: &LocalOptions) -> Result<Python, LocalError> {
    let candidates: Vec<PathBuf> = match &options.python {
        Some(python) => vec![python.clone()],
        None => [
            "python3",
            "python3.14",
            "python3.13",
            "python3.12",
            "python3.11",
            "python3.10",
            "python",
        ]
        .map(PathBuf::from)
        .to_vec(),
    };
    let mut too_old = None;
    for candidate in &candidates {
        let program = "import sys; print('%d.%d.%d' % sys.version_info[:3]); print(sys.executable)";
        let Ok(output) = run(Command::new(candidate).args(["-c", program])) else {
            continue;
        };
        if !output.status.success() {
            continue;
        }
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lines = answer.lines();
        let (Some(version), Some(executable)) = (lines.next(), lines.next()) else {
            continue;
        };
        // Without a PATH, Python does not know where it is.
        let executable = match executable {
            "" => candidate.to_string_lossy().into_owned(),
            known => known.to_owned(),
        };
        if is_new_enough(version) {
            return Ok(Python {
                program: PathBuf::from(executable),
                version: version.to_owned(),
            });
        }
        too_old.get_or_insert((executable, version.to_owned()));
    }
    match too_old {
        Some((python, found)) => Err(LocalError::PythonTooOld { python, found }),
        None => Err(LocalError::PythonMissing {
            looked_for: candidates
                .iter()
                .map(|name| name.display().to_string())
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

fn is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (3, 10)
}

fn venv_failure(python: &Path, venv: &Path, output: &Output) -> LocalError {
    let said = text(output);
    // Python hides the output of ensurepip. Debian's message about a missing module is another cause.
    let is_hidden = !said.contains("is not available");
    if is_disk_full(&said) || is_hidden && available(venv).is_some_and(|bytes| bytes < SIZE) {
        return LocalError::DiskFull { path: venv.to_owned() };
    }
    let name = python
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    // Debian splits the module off, and names the package in its message when it knows it.
    let package = said
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_ascii_alphanumeric()))
        .find(|word| word.starts_with("python3") && word.ends_with("-venv"))
        .map_or_else(
            || format!("{}-venv", if name.starts_with("python3") { &name } else { "python3" }),
            str::to_owned,
        );
    LocalError::VenvUnavailable {
        python: python.display().to_string(),
        reason: first_cause(&said),
        package,
    }
}

fn pip_failure(venv: &Path, available: Option<u64>, said: &str) -> LocalError {
    let lower = said.to_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    if is_disk_full(said) {
        LocalError::DiskFull { path: venv.to_owned() }
    } else if has(&["do not match the hashes", "hash mismatch"]) {
        LocalError::HashMismatch {
            reason: first_cause(said),
        }
    } else if has(&[
        "connection",
        "timed out",
        "timeout",
        "name resolution",
        "network is unreachable",
        "proxyerror",
        "sslerror",
        "no matching distribution",
        "could not fetch",
    ]) {
        LocalError::Download {
            reason: first_cause(said),
        }
    } else if available.is_some_and(|bytes| bytes < SIZE / 10) {
        LocalError::DiskFull { path: venv.to_owned() }
    } else {
        LocalError::Install {
            venv: venv.to_owned(),
            reason: first_cause(said),
        }
    }
}

/// Bytes that are free on the disk that holds a path, or would hold it.
fn available(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|path| path.exists())?;
    let disk = rustix::fs::statvfs(there).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

fn is_disk_full(said: &str) -> bool {
    said.contains("No space left on device") || said.contains("Errno 28") || said.contains("Disk quota exceeded")
}

/// The line that names the cause: pip's `ERROR:`, else the last one.
fn first_cause(said: &str) -> String {
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let error = lines.iter().rev().find_map(|line| line.strip_prefix("ERROR: "));
    error
        .or(lines.last().copied())
        .unwrap_or("no reason given")
        .chars()
        .take(400)
        .collect()
}

fn text(output: &Output) -> String {
    format!(
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Runs a command with nothing of an enclosing Python environment in it.
fn run(command: &mut Command) -> std::io::Result<Output> {
    command
        .stdin(Stdio::null())
        .env_remove("PYTHONHOME")
        .env_remove("PYTHONPATH")
        .env_remove("VIRTUAL_ENV")
        .env_remove("PIP_REQUIRE_VIRTUALENV")
        .env("PYTHONNOUSERSITE", "1")
        .output()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test ends where something is wrong")]

    use std::time::Instant;

    use super::*;

    #[test]
    fn every_requirement_is_pinned_and_hashed() {
        let logical: Vec<String> = REQUIREMENTS
            .replace("\\\n", " ")
            .lines()
            .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
            .map(str::to_owned)
            .collect();
        assert!(logical.len() > 15);
        for line in &logical {
            assert!(line.contains("==") && line.contains("--hash=sha256:"), "{line}");
        }
        assert!(
            logical
                .iter()
                .any(|line| line.starts_with(&format!("ministack=={} ", super::super::VERSION)))
        );
    }

    #[test]
    fn python_versions() {
        assert!(is_new_enough("3.10.0"));
        assert!(is_new_enough("3.14.1"));
        assert!(!is_new_enough("3.9.18"));
        assert!(!is_new_enough("2.7.18"));
        assert!(is_new_enough("4.0.0"));
    }

    fn check_pip(said: &str, expected: &str) {
        let error = pip_failure(Path::new("/v"), None, said);
        let name = format!("{error:?}");
        assert!(name.starts_with(expected), "{said:?} became {name}");
    }

    #[test]
    fn pip_failures_are_told_apart() {
        check_pip(
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "DiskFull",
        );
        check_pip(
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "HashMismatch",
        );
        check_pip(
            "WARNING: Retrying … Failed to establish a new connection: [Errno -3] Temporary failure in name resolution",
            "Download",
        );
        check_pip("ERROR: No matching distribution found for h2==4.4.1", "Download");
        check_pip("error: subprocess-exited-with-error", "Install");
        let full = pip_failure(Path::new("/v"), Some(4096), "error: subprocess-exited-with-error");
        assert!(matches!(full, LocalError::DiskFull { .. }), "{full:?}");
    }

    #[test]
    fn a_full_disk_is_named_where_python_hides_it() {
        let full = Path::new("/dev/full");
        let said = Output {
            status: Default::default(),
            stdout: "Error: Command '[…, '-m', 'ensurepip']' returned non-zero exit status 1.".into(),
            stderr: Vec::new(),
        };
        // /proc has no space at all.
        let error = venv_failure(full, Path::new("/proc/venv"), &said);
        assert!(matches!(error, LocalError::DiskFull { .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("free some disk space"), "{error:?}");
    }

    #[test]
    fn debian_without_venv_names_the_package() {
        let said = "The virtual environment was not created successfully because ensurepip is not\navailable.  On Debian/Ubuntu \
                    systems, you need to install the python3-venv\npackage using the following command.\n\n    apt install python3.11-venv\n";
        let output = Output {
            status: Default::default(),
            stdout: said.into(),
            stderr: Vec::new(),
        };
        let error = venv_failure(Path::new("/usr/bin/python3.11"), Path::new("/v"), &output);
        assert!(error.hint().unwrap().contains("python3-venv"), "{error:?}");
    }

    #[test]
    fn no_python_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let options = LocalOptions {
            python: Some("/nowhere/python3".into()),
            ..LocalOptions::new(&directory.path().join("root"), &directory.path().join("cache"))
        };
        assert!(matches!(
            ensure_installed(&options),
            Err(LocalError::PythonMissing { .. })
        ));
    }

    /// A Python whose `-m venv` and pip do as told by shell commands.
    fn python(directory: &Path, venv: &str, pip: &str) -> PathBuf {
        let script = directory.join("python3");
        let text = format!(
            "#!/bin/sh\ncase \"$2\" in\n  venv) {venv} ;;\n  pip) {pip} ;;\n  *) echo 3.11.7; echo \"$0\" ;;\nesac\n"
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        script
    }

    const MAKE: &str = "mkdir -p \"$4/bin\"; cp \"$0\" \"$4/bin/python\"";

    #[test]
    fn failed_and_interrupted_installations_are_redone() {
        let directory = tempfile::tempdir().unwrap();
        let offline = "echo 'ERROR: No matching distribution found for h2' >&2; exit 1";
        let mut options = LocalOptions::new(&directory.path().join("root"), &directory.path().join("cache"));
        options.python = Some(python(directory.path(), MAKE, offline));
        assert!(matches!(ensure_installed(&options), Err(LocalError::Download { .. })));
        assert_eq!(installed(&options).unwrap(), None);

        let venv = place(&options, &find_python(&options).unwrap());
        fs::write(venv.join("left-over"), "").unwrap();
        options.python = Some(python(directory.path(), MAKE, "true"));
        assert_eq!(ensure_installed(&options).unwrap(), venv);
        assert_eq!(installed(&options).unwrap().as_ref(), Some(&venv));
        assert!(!venv.join("left-over").exists());

        let none = "echo 'ensurepip is not available: apt install python3.11-venv'; exit 1";
        options.cache = directory.path().join("other");
        options.python = Some(python(directory.path(), none, "true"));
        let error = ensure_installed(&options).unwrap_err();
        assert!(error.hint().unwrap().contains("python3.11-venv"), "{error:?}");
    }

    #[test]
    fn projects_that_start_at_once_install_once() {
        let directory = tempfile::tempdir().unwrap();
        let (cache, count) = (directory.path().join("cache"), directory.path().join("count"));
        let pip = format!("echo installed >> {}", count.display());
        let interpreter = python(directory.path(), MAKE, &pip);
        let installations: Vec<PathBuf> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..6)
                .map(|number| {
                    let options = LocalOptions {
                        python: Some(interpreter.clone()),
                        ..LocalOptions::new(&directory.path().join(format!("root-{number}")), &cache)
                    };
                    scope.spawn(move || ensure_installed(&options).unwrap())
                })
                .collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert!(installations.iter().all(|venv| *venv == installations[0]));
        assert_eq!(fs::read_to_string(count).unwrap(), "installed\n");
    }

    #[test]
    fn another_python_has_an_installation_of_its_own() {
        let options = LocalOptions::new(Path::new("/root"), Path::new("/cache"));
        let of = |version: &str| {
            let version = version.to_owned();
            place(
                &options,
                &Python {
                    program: "python3".into(),
                    version,
                },
            )
        };
        assert_eq!(of("3.11.2"), of("3.11.9"));
        assert_ne!(of("3.11.2"), of("3.12.2"));
        assert!(of("3.11.2").starts_with("/cache/emulator"));
    }

    #[test]
    fn the_installation_of_a_root_is_used_until_there_is_another() {
        let directory = tempfile::tempdir().unwrap();
        let mut options = LocalOptions::new(&directory.path().join("root"), &directory.path().join("cache"));
        // With its own, no Python is looked for.
        options.python = Some("/nowhere/python3".into());
        let former = own(&options);
        files::write(&python_of(&former), b"").unwrap();
        files::write(&stamp_path(&former), hash(REQUIREMENTS).as_bytes()).unwrap();
        assert_eq!(ensure_installed(&options).unwrap(), former);
        drop(Installation::open(&former, &options).unwrap());
        assert!(former.exists());

        // It is of other requirements.
        files::write(&stamp_path(&former), b"other").unwrap();
        options.python = Some(python(directory.path(), MAKE, "true"));
        let venv = ensure_installed(&options).unwrap();
        assert_ne!(venv, former);
        assert!(former.exists(), "what runs may use it");
        drop(Installation::open(&venv, &options).unwrap());
        assert!(!former.exists());
    }

    #[test]
    fn installations_that_nothing_uses_go_after_a_while() {
        let directory = tempfile::tempdir().unwrap();
        let options = LocalOptions::new(&directory.path().join("root"), &directory.path().join("cache"));
        let make = |name: &str| {
            let venv = options.cache.join("emulator").join(name);
            files::write(&python_of(&venv), b"").unwrap();
            venv
        };
        let (new, old, used) = (make("new"), make("old"), make("used"));
        let in_use = Installation::open(&used, &options).unwrap();
        drop(Installation::open(&old, &options).unwrap());

        remove_unused(&new, SystemTime::now()).unwrap();
        assert!(old.exists(), "another version of taskctl may use it tomorrow");
        let later = SystemTime::now() + KEPT + Duration::from_secs(60);
        // A process that another test is starting has this one's locks until it runs its program.
        let goes = |venv: &Path| {
            let deadline = Instant::now() + Duration::from_secs(20);
            while venv.exists() {
                assert!(Instant::now() < deadline, "{} stays", venv.display());
                remove_unused(&new, later).unwrap();
                std::thread::yield_now();
            }
        };
        goes(&old);
        assert!(used.exists() && new.exists());
        drop(in_use);
        goes(&used);
        assert!(new.exists());
    }
}
