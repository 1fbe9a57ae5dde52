//! Deployment packages on disk: unpacked once per content under `<root>/code/<sha>`, checked before they are started.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;
use zip::ZipArchive;

use super::failure::Failure;
use crate::ports::{Architecture, FunctionCode};

/// Largest package once unpacked, bytes: <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.
const UNPACKED_LIMIT: u64 = 250 * 1024 * 1024;

/// Begins the name of a directory that is being unpacked into.
const STAGING: &str = ".unpack-";

/// Unpacked packages.
#[derive(Debug)]
pub(super) struct CodeStore {
    directory: PathBuf,
    unpacked: Mutex<BTreeMap<String, Arc<OnceCell<PathBuf>>>>,
}

impl CodeStore {
    /// A store below `root`. Code unpacked by an earlier host is reused.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let directory = root.join("code");
        fs::create_dir_all(&directory)?;
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(STAGING) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(Self {
            directory,
            unpacked: Mutex::default(),
        })
    }

    /// The directory that `code` is unpacked in. Several callers at once unpack it once.
    pub(super) async fn directory(&self, code: &FunctionCode) -> Result<PathBuf, Failure> {
        let cell = {
            let mut unpacked = self.unpacked.lock();
            Arc::clone(unpacked.entry(code.sha256.clone()).or_default())
        };
        let path = cell.get_or_try_init(|| async {
            let target = self.directory.join(file_name(&code.sha256));
            let zip = code.zip.clone();
            let unpack = move || unpack(&zip, &target).map(|()| target);
            tokio::task::spawn_blocking(unpack)
                .await
                .map_err(|error| Failure::Internal(error.to_string()))?
        });
        path.await.cloned()
    }

    /// Removes all code that is not among `wanted` (`CodeSha256` values), including code unpacked by an earlier host.
    pub(super) fn retain(&self, wanted: &BTreeSet<String>) -> io::Result<()> {
        let mut unpacked = self.unpacked.lock();
        // A cell that another task holds is being unpacked or looked up right now.
        unpacked.retain(|sha256, cell| wanted.contains(sha256) || Arc::strong_count(cell) > 1);
        let kept: BTreeSet<String> = unpacked.keys().chain(wanted).map(|sha256| file_name(sha256)).collect();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !kept.contains(&name) && !name.starts_with(STAGING) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

fn file_name(sha256: &str) -> String {
    sha256.trim_end_matches('=').replace('/', "_").replace('+', "-")
}

fn unpack(zip: &Path, target: &Path) -> Result<(), Failure> {
    if target.is_dir() {
        return Ok(());
    }
    let fault =
        |what: &str, error: &dyn std::fmt::Display| Failure::Internal(format!("{what} {}: {error}", zip.display()));
    let file = File::open(zip).map_err(|error| fault("open package", &error))?;
    let mut archive = ZipArchive::new(file).map_err(|error| fault("read package", &error))?;
    match archive.decompressed_size() {
        Some(size) if size > u128::from(UNPACKED_LIMIT) => {
            return Err(fault(
                "unpack package",
                &format!("unpacked size {size} exceeds {UNPACKED_LIMIT} bytes"),
            ));
        }
        Some(_) | None => {}
    }
    let parent = target.parent().unwrap_or(target);
    let staging = tempfile::Builder::new()
        .prefix(STAGING)
        .tempdir_in(parent)
        .map_err(|error| fault("make a directory for", &error))?;
    archive
        .extract(staging.path())
        .map_err(|error| fault("unpack package", &error))?;
    let staged = staging.keep();
    fs::set_permissions(&staged, fs::Permissions::from_mode(0o755)).map_err(|error| fault("unpack package", &error))?;
    match fs::rename(&staged, target) {
        Ok(()) => Ok(()),
        Err(_) if target.is_dir() => {
            // Another host on the same root was faster; the content is the same.
            fs::remove_dir_all(&staged).map_err(|error| fault("unpack package", &error))
        }
        Err(error) => Err(fault("unpack package", &error)),
    }
}

/// The executable of an unpacked package, or why Lambda could not start it.
pub(super) fn bootstrap(directory: &Path, architecture: Architecture) -> Result<PathBuf, Failure> {
    let path = directory.join("bootstrap");
    let metadata = match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) | Err(_) => return Err(Failure::NoBootstrap),
    };
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(Failure::NotExecutable("permission denied".to_owned()));
    }
    let mut head = Vec::with_capacity(256);
    File::open(&path)
        .and_then(|file| file.take(256).read_to_end(&mut head))
        .map_err(|error| Failure::NotExecutable(error.to_string()))?;
    match executable(&head) {
        Executable::Binary(format, found)
            if format == Format::of(std::env::consts::OS) && found == Some(architecture) && found == host() =>
        {
            Ok(path)
        }
        Executable::Binary(..) | Executable::Unknown => Err(Failure::NotExecutable("exec format error".to_owned())),
        Executable::Script(interpreter) if interpreter.exists() => Ok(path),
        Executable::Script(_) => Err(Failure::NotExecutable("no such file or directory".to_owned())),
    }
}

/// The architecture of this machine, when Lambda has it too.
fn host() -> Option<Architecture> {
    match std::env::consts::ARCH {
        "x86_64" => Some(Architecture::X86_64),
        "aarch64" => Some(Architecture::Arm64),
        _ => None,
    }
}

/// The kind of executable, by the first bytes of a file.
#[derive(Debug, PartialEq, Eq)]
enum Executable {
    /// A binary for an architecture, if it is one of Lambda's.
    Binary(Format, Option<Architecture>),
    /// A script and its interpreter.
    Script(PathBuf),
    /// Nothing that the kernel executes.
    Unknown,
}

/// The format of a binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Elf,
    MachO,
}

impl Format {
    /// Of a system, by Rust's name of it.
    fn of(system: &str) -> Self {
        match system {
            "macos" => Self::MachO,
            _ => Self::Elf,
        }
    }
}

fn executable(head: &[u8]) -> Executable {
    if head.starts_with(b"\x7fELF") {
        // `e_machine` is at offset 18 in 32- and 64-bit files; both of Lambda's architectures are little-endian.
        let machine = head.get(18..20).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
        let architecture = match machine {
            Some(0x3e) => Some(Architecture::X86_64),
            Some(0xb7) => Some(Architecture::Arm64),
            Some(_) | None => None,
        };
        return Executable::Binary(Format::Elf, architecture);
    }
    // A 64-bit Mach-O file, with `cputype` after its first four bytes.
    if let Some(rest) = head.strip_prefix(&0xfeed_facf_u32.to_le_bytes()) {
        let architecture = match rest.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)) {
            Some(0x0100_0007) => Some(Architecture::X86_64),
            Some(0x0100_000c) => Some(Architecture::Arm64),
            Some(_) | None => None,
        };
        return Executable::Binary(Format::MachO, architecture);
    }
    let Some(line) = head.strip_prefix(b"#!") else {
        return Executable::Unknown;
    };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    match line.split_whitespace().next() {
        Some(interpreter) => Executable::Script(PathBuf::from(interpreter)),
        None => Executable::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_by_their_first_bytes() {
        let elf_of = |architecture| Executable::Binary(Format::Elf, architecture);
        let mach = |machine: u32| [0xfeed_facf_u32.to_le_bytes(), machine.to_le_bytes()].concat();
        let mach_of = |architecture| Executable::Binary(Format::MachO, architecture);
        assert_eq!(executable(&mach(0x0100_000c)), mach_of(Some(Architecture::Arm64)));
        assert_eq!(executable(&mach(0x0100_0007)), mach_of(Some(Architecture::X86_64)));
        assert_eq!(executable(&mach(7)), mach_of(None));
        assert_eq!((Format::of("macos"), Format::of("linux")), (Format::MachO, Format::Elf));
        let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
        elf.resize(20, 0);
        elf[18] = 0xb7;
        assert_eq!(executable(&elf), elf_of(Some(Architecture::Arm64)));
        elf[18] = 0x3e;
        assert_eq!(executable(&elf), elf_of(Some(Architecture::X86_64)));
        elf[18] = 0x28;
        assert_eq!(executable(&elf), elf_of(None));
        assert_eq!(executable(b"\x7fELF"), elf_of(None));
        assert_eq!(executable(b"#!/bin/sh\nexit"), Executable::Script("/bin/sh".into()));
        assert_eq!(
            executable(b"#! /usr/bin/env python3\n"),
            Executable::Script("/usr/bin/env".into())
        );
        assert_eq!(executable(b"exit 0"), Executable::Unknown);
    }

    fn zipped(fill: impl FnOnce(&mut zip::ZipWriter<File>)) -> (tempfile::TempDir, Result<(), Failure>) {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("package.zip");
        let mut zip = zip::ZipWriter::new(File::create(&path).expect("a file"));
        fill(&mut zip);
        zip.finish().expect("a package");
        fs::create_dir(folder.path().join("code")).expect("a directory");
        let unpacked = unpack(&path, &folder.path().join("code/x"));
        (folder, unpacked)
    }

    #[test]
    fn a_package_cannot_write_outside_of_its_folder() {
        use std::io::Write as _;
        use zip::write::SimpleFileOptions;
        for name in ["../escaped", "a/../../escaped", "/escaped"] {
            let (folder, unpacked) = zipped(|zip| {
                zip.start_file(name, SimpleFileOptions::default()).expect("an entry");
                zip.write_all(b"x").expect("content");
            });
            assert!(
                unpacked.is_err() || folder.path().join("code/x").join("escaped").exists(),
                "{name}"
            );
            assert!(!folder.path().join("escaped").exists(), "{name}");
            assert!(!folder.path().join("code/escaped").exists(), "{name}");
            assert!(!Path::new("/escaped").exists(), "{name}");
        }
    }

    #[test]
    fn a_link_in_a_package_leads_nowhere_else() {
        use std::io::Write as _;
        use zip::write::SimpleFileOptions;
        let outside = tempfile::tempdir().expect("a directory");
        let (_folder, unpacked) = zipped(|zip| {
            let target = outside.path().to_string_lossy().into_owned();
            zip.add_symlink("out", target, SimpleFileOptions::default())
                .expect("a link");
            zip.start_file("out/escaped", SimpleFileOptions::default())
                .expect("an entry");
            zip.write_all(b"x").expect("content");
        });
        assert!(!outside.path().join("escaped").exists(), "{unpacked:?}");
    }

    #[test]
    fn file_names_are_one_path_segment() {
        assert_eq!(file_name("a/b+c="), "a_b-c");
    }
}
