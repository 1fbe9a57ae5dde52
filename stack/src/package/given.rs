//! Code that was made elsewhere, `code:` of the template: a zip file as it is, or a folder, zipped. What Lambda would refuse, or could
//! not start, is refused here.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::archive::{self, Effort, UNZIPPED_LIMIT};
use super::error::PackageError;
use super::{Destination, FunctionSource, Package, PackageRequest, check_runtimes, elf, make_dir, write_whole};
use crate::digest::sha256;
use crate::event::{Event, Events};
use crate::template::model::FunctionCode;

/// Packages the functions whose code is given.
pub async fn pack_all(request: &PackageRequest, events: &Events) -> Result<Vec<Package>, PackageError> {
    check_all(request)?;
    let mut packages = Vec::new();
    for (source, code) in given(request) {
        let given = Given {
            source: source.clone(),
            code: code.clone(),
            path: request.template_dir.join(&code.path),
            destination: request.destination,
        };
        let out_dir = request.out_dir.clone();
        let packed = tokio::task::spawn_blocking(move || given.pack(&out_dir)).await;
        let package = packed
            .map_err(|failed| PackageError::io("packaging", &request.out_dir, std::io::Error::other(failed)))??;
        events.emit(Event::Packaged {
            function: package.function.clone(),
            zip_bytes: package.zip_bytes,
            code_sha256: package.code_sha256.clone(),
        });
        packages.push(package);
    }
    Ok(packages)
}

/// Whether all code that is given is there, and can run where it is to run. Its content is not looked at.
pub fn check_all(request: &PackageRequest) -> Result<(), PackageError> {
    check_runtimes(&request.functions, request.destination)?;
    for (source, code) in given(request) {
        let path = request.template_dir.join(&code.path);
        fs::metadata(&path).map_err(|error| PackageError::BadCode {
            function: source.function.clone(),
            path,
            reason: error.to_string(),
        })?;
    }
    Ok(())
}

fn given(request: &PackageRequest) -> impl Iterator<Item = (&FunctionSource, &FunctionCode)> {
    let functions = request.functions.iter();
    functions.filter_map(|source| Some((source, source.code.as_ref()?)))
}

/// A function's code, and where it lies.
struct Given {
    source: FunctionSource,
    code: FunctionCode,
    path: PathBuf,
    destination: Destination,
}

/// Files of a zip by name: where they lie, and whether they may be executed.
type Listed = BTreeMap<String, (PathBuf, bool)>;

impl Given {
    fn pack(&self, out_dir: &Path) -> Result<Package, PackageError> {
        let zip = match self.path.is_dir() {
            true => self.zipped()?,
            false => fs::read(&self.path).map_err(|error| self.refused(error))?,
        };
        let contents = ZipArchive::new(Cursor::new(&zip));
        let mut contents = contents.map_err(|error| self.refused(format!("it is no zip file ({error})")))?;
        if contents.is_empty() {
            return Err(self.refused("it is empty"));
        }
        let bytes = contents.decompressed_size().unwrap_or_default();
        self.check_size(bytes.try_into().unwrap_or(u64::MAX))?;
        if self.code.brings_runtime() {
            self.check_bootstrap(&mut contents)
                .map_err(|reason| self.refused(reason))?;
        }
        let hash = sha256(&zip);
        let function = &self.source.function;
        make_dir(out_dir)?;
        let zip_path = out_dir.join(format!("{function}-given-{}.zip", hash.get(..16).unwrap_or(&hash)));
        write_whole(&zip_path, &zip)?;
        Ok(Package {
            function: function.clone(),
            zip_path,
            zip_bytes: zip.len().try_into().unwrap_or(u64::MAX),
            code_sha256: archive::code_sha256(&zip),
            binary_sha256: hash,
            architecture: self.source.architecture,
            glibc: None,
        })
    }

    fn refused(&self, reason: impl ToString) -> PackageError {
        PackageError::BadCode {
            function: self.source.function.clone(),
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }

    fn check_size(&self, bytes: u64) -> Result<(), PackageError> {
        match bytes > UNZIPPED_LIMIT {
            true => Err(PackageError::TooLarge {
                function: self.source.function.clone(),
                what: "unzipped",
                bytes,
                limit: UNZIPPED_LIMIT,
            }),
            false => Ok(()),
        }
    }

    /// What `provided` runtimes start: a program of the function's architecture, or a script.
    fn check_bootstrap(&self, contents: &mut ZipArchive<Cursor<&Vec<u8>>>) -> Result<(), String> {
        let mut file = contents
            .by_name("bootstrap")
            .map_err(|_| "it has no file `bootstrap`, which `provided` runtimes start".to_owned())?;
        if file.unix_mode().is_some_and(|mode| mode & 0o111 == 0) {
            return Err("its file `bootstrap` is not executable".to_owned());
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.starts_with(b"#!") {
            return Ok(());
        }
        let program = elf::inspect(&bytes).map_err(|reason| format!("`bootstrap`: {reason}"))?;
        match program.architecture == self.source.architecture {
            true => Ok(()),
            false => Err("its program `bootstrap` is for another architecture than the function's".to_owned()),
        }
    }

    /// A folder as a zip: the same files give the same bytes, whenever and wherever they were written.
    fn zipped(&self) -> Result<Vec<u8>, PackageError> {
        let mut contents = Vec::new();
        for (name, (path, is_executable)) in self.listed()? {
            let bytes = fs::read(&path).map_err(|error| self.refused(error))?;
            contents.push((name, bytes, is_executable));
        }
        let effort = match self.destination {
            Destination::Lambda => Effort::Small,
            Destination::ThisMachine => Effort::Quick,
        };
        archive::zip_all(&contents, effort).map_err(|error| self.refused(error))
    }

    /// The files of a folder. Links are followed as far as they stay in it: what lies elsewhere may be anything.
    fn listed(&self) -> Result<Listed, PackageError> {
        let failed = |error: std::io::Error| self.refused(error);
        let root = self.path.canonicalize().map_err(failed)?;
        let (mut files, mut bytes) = (Listed::new(), 0);
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                let name = name_in(&root, &path);
                let name = name.ok_or_else(|| self.refused(format!("the name of {} is not UTF-8", path.display())))?;
                let target = path.canonicalize().map_err(failed)?;
                if !target.starts_with(&root) {
                    return Err(self.refused(format!("{name} leads out of it")));
                }
                let metadata = fs::metadata(&target).map_err(failed)?;
                if metadata.is_file() {
                    bytes += metadata.len();
                    self.check_size(bytes)?;
                    let is_executable = metadata.permissions().mode() & 0o111 != 0;
                    files.insert(name, (path, is_executable));
                } else if metadata.is_dir() && target == path {
                    folders.push(path);
                } else {
                    return Err(self.refused(format!("{name} is neither a file nor a folder of its own")));
                }
            }
        }
        Ok(files)
    }
}

fn name_in(root: &Path, path: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = path.strip_prefix(root).ok()?.iter().map(|part| part.to_str()).collect();
    Some(parts?.join("/"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::template::model::Architecture;

    struct Folder {
        folder: tempfile::TempDir,
    }

    impl Folder {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("code")).unwrap();
            Self { folder }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, text: &str, mode: u32) {
            let path = self.path(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }

        fn pack(&self, path: &str, runtime: &str, destination: Destination) -> Result<Package, PackageError> {
            let code = FunctionCode {
                path: path.to_owned(),
                runtime: runtime.to_owned(),
                handler: "app.handler".to_owned(),
            };
            let source = FunctionSource {
                function: "api".to_owned(),
                binary: "api".to_owned(),
                architecture: Architecture::X86_64,
                code: Some(code.clone()),
            };
            check_runtimes(std::slice::from_ref(&source), destination)?;
            let given = Given {
                source,
                code,
                path: self.path(path),
                destination,
            };
            given.pack(&self.path("out"))
        }

        #[track_caller]
        fn refused(&self, path: &str, runtime: &str, why: &str) {
            let error = self.pack(path, runtime, Destination::Lambda).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn a_folder_is_zipped_the_same_at_every_time() {
        let folder = Folder::new();
        folder.write("code/app.py", "def handler(event, context): pass\n", 0o644);
        folder.write("code/lib/tool", "#!/bin/sh\n", 0o755);
        symlink("app.py", folder.path("code/main.py")).unwrap();
        let first = folder.pack("code", "python3.13", Destination::Lambda).unwrap();
        folder.write("code/app.py", "def handler(event, context): pass\n", 0o600);
        assert_eq!(folder.pack("code", "python3.13", Destination::Lambda).unwrap(), first);

        let bytes = fs::read(&first.zip_path).unwrap();
        let mut zip = ZipArchive::new(Cursor::new(&bytes)).unwrap();
        let entries: Vec<(String, Option<u32>)> = (0..zip.len())
            .map(|index| {
                let file = zip.by_index(index).unwrap();
                (file.name().unwrap().to_string(), file.unix_mode())
            })
            .collect();
        let plain = Some(0o100_644);
        let expected = [("app.py", plain), ("lib/tool", Some(0o100_755)), ("main.py", plain)];
        assert_eq!(entries, expected.map(|(name, mode)| (name.to_owned(), mode)));

        // A zip is taken as it is.
        fs::copy(&first.zip_path, folder.path("made.zip")).unwrap();
        let again = folder.pack("made.zip", "python3.13", Destination::Lambda).unwrap();
        assert_eq!(again.code_sha256, first.code_sha256);
        folder.write("code/app.py", "other\n", 0o644);
        let changed = folder.pack("code", "python3.13", Destination::Lambda).unwrap();
        assert_ne!(changed.code_sha256, first.code_sha256);
    }

    #[test]
    fn code_that_lambda_could_not_start_is_refused() {
        let folder = Folder::new();
        folder.refused("code", "python3.13", "it is empty");
        folder.refused("nowhere", "python3.13", "No such file");
        folder.write("code.zip", "no zip", 0o644);
        folder.refused("code.zip", "python3.13", "it is no zip file");
        folder.write("code/app.py", "", 0o644);
        folder.refused("code", "provided.al2023", "it has no file `bootstrap`");
        folder.write("code/bootstrap", "#!/bin/sh\n", 0o644);
        folder.refused("code", "provided.al2023", "not executable");
        folder.write("code/bootstrap", "text", 0o755);
        folder.refused("code", "provided.al2023", "it is not an ELF file");
        folder.write("code/bootstrap", "#!/bin/sh\n", 0o755);
        folder.pack("code", "provided.al2023", Destination::Lambda).unwrap();
        symlink("/etc/passwd", folder.path("code/secret")).unwrap();
        folder.refused("code", "provided.al2023", "secret leads out of it");
    }

    #[test]
    fn this_machine_has_no_managed_runtimes() {
        let folder = Folder::new();
        folder.write("code/bootstrap", "#!/bin/sh\n", 0o755);
        folder.pack("code", "provided.al2", Destination::ThisMachine).unwrap();
        let error = folder.pack("code", "python3.13", Destination::ThisMachine).unwrap_err();
        assert!(matches!(error, PackageError::RuntimeNotHere { .. }), "{error}");
        assert!(error.hint().unwrap().contains("deploy the stage to AWS"));
        folder.pack("code", "python3.13", Destination::Lambda).unwrap();
    }
}
