//! Installs the emulator into a virtual environment, once, with pinned versions and hashes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

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

/// A complete installation.
#[derive(Debug, Clone)]
pub(crate) struct Installation {
    /// Interpreter of the virtual environment.
    pub python: PathBuf,
    /// The program that runs the emulator.
    pub launcher: PathBuf,
}

/// Whether a complete installation of exactly these requirements is there.
pub(crate) fn is_installed(options: &LocalOptions) -> bool {
    let stamp = fs::read_to_string(stamp_path(options)).unwrap_or_default();
    stamp == stamp_value() && installation(options).python.exists()
}

/// Makes sure that the emulator is installed. An installation of other requirements, or an interrupted one, is redone.
pub(crate) fn ensure_installed(options: &LocalOptions) -> Result<Installation, LocalError> {
    let found = if is_installed(options) {
        installation(options)
    } else {
        install(options)?
    };
    // The launcher belongs to this build of taskctl, not to the requirements.
    if fs::read(&found.launcher).ok().as_deref() != Some(LAUNCHER.as_bytes()) {
        files::write(&found.launcher, LAUNCHER.as_bytes())?;
    }
    Ok(found)
}

fn installation(options: &LocalOptions) -> Installation {
    Installation {
        python: options.venv.join("bin/python"),
        launcher: options.path("emulator.py"),
    }
}

fn stamp_path(options: &LocalOptions) -> PathBuf {
    options.venv.join("taskctl-complete")
}

fn stamp_value() -> String {
    Sha256::digest(REQUIREMENTS.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn install(options: &LocalOptions) -> Result<Installation, LocalError> {
    let venv = options.venv.clone();
    let python = find_python(options)?;
    files::create_directory(&options.root)?;
    // Roots that share an installation wait for each other.
    let _alone = files::lock(&venv.with_extension("lock"))?;
    if is_installed(options) {
        return Ok(installation(options));
    }
    files::remove(&venv)?;

    let made = run(Command::new(&python).args(["-m", "venv", "--clear"]).arg(&venv))
        .map_err(|source| LocalError::io("running", &python, source))?;
    if !made.status.success() {
        let failure = venv_failure(&python, &venv, &made);
        let _ = files::remove(&venv);
        return Err(failure);
    }

    let requirements = options.path("requirements.txt");
    files::write(&requirements, REQUIREMENTS.as_bytes())?;
    let installed = installation(options);
    let output = run(Command::new(&installed.python)
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
    .map_err(|source| LocalError::io("running", &installed.python, source))?;
    if !output.status.success() {
        return Err(pip_failure(&venv, available(&venv), &text(&output)));
    }

    files::write(&stamp_path(options), stamp_value().as_bytes())?;
    Ok(installed)
}

/// Finds an interpreter that is new enough.
fn find_python(options: &LocalOptions) -> Result<PathBuf, LocalError> {
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
            return Ok(PathBuf::from(executable));
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
            ..LocalOptions::new(directory.path())
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

    #[test]
    fn failed_and_interrupted_installations_are_redone() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        let make = "mkdir -p \"$4/bin\"; cp \"$0\" \"$4/bin/python\"";
        let offline = "echo 'ERROR: No matching distribution found for h2' >&2; exit 1";
        let mut options = LocalOptions::new(&root);
        options.python = Some(python(directory.path(), make, offline));
        assert!(matches!(ensure_installed(&options), Err(LocalError::Download { .. })));
        assert!(!is_installed(&options));

        fs::write(options.venv.join("left-over"), "").unwrap();
        options.python = Some(python(directory.path(), make, "true"));
        ensure_installed(&options).unwrap();
        assert!(is_installed(&options));
        assert!(!options.venv.join("left-over").exists());

        let none = "echo 'ensurepip is not available: apt install python3.11-venv'; exit 1";
        options.venv = root.join("other");
        options.python = Some(python(directory.path(), none, "true"));
        let error = ensure_installed(&options).unwrap_err();
        assert!(error.hint().unwrap().contains("python3.11-venv"), "{error:?}");
    }
}
