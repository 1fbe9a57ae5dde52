//! The files that a deploy is made of, and which of them have changed. Of the code that is what Cargo builds from: sources of the
//! functions and of the packages they depend on by path, manifests, Cargo's settings. What taskctl and the build write is not
//! among them, nor what git ignores.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ignore::WalkBuilder;
use taskctl_stack::package::Cargo;

/// More files than this are no project.
const MOST: usize = 20_000;
/// Files of a package that its build may depend on before Cargo has said what it read.
const CODE: [&str; 3] = ["rs", "toml", "lock"];
/// Settings of Cargo and rustup, in the folders of a project and above its packages.
const SETTINGS: [&str; 6] = [
    ".cargo/config.toml",
    ".cargo/config",
    "Cargo.lock",
    "Cargo.toml",
    "rust-toolchain.toml",
    "rust-toolchain",
];

/// What is watched.
#[derive(Debug, Clone, Default)]
pub struct Watch {
    /// Watched whole: web sites, packages that were made elsewhere.
    folders: Vec<PathBuf>,
    /// Folders of Cargo packages.
    packages: Vec<PathBuf>,
    /// The template, and what else is watched by name.
    files: BTreeSet<PathBuf>,
    /// Where Cargo builds to.
    target: Option<PathBuf>,
    /// Binaries of the functions.
    binaries: BTreeSet<String>,
    /// Files that this process writes its output to, by device and number.
    outputs: BTreeSet<(u64, u64)>,
}

/// When a file was written, and how long it is.
type Stamp = (SystemTime, u64);

/// Files as they were.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    files: BTreeMap<PathBuf, Stamp>,
}

impl Watch {
    /// A watch over this file alone.
    pub fn file(path: &Path) -> Self {
        let streams = [fs::metadata("/dev/stdout"), fs::metadata("/dev/stderr")];
        let outputs = streams.into_iter().flatten().filter(fs::Metadata::is_file);
        Self {
            files: BTreeSet::from([path.to_owned()]),
            outputs: outputs.map(|output| (output.dev(), output.ino())).collect(),
            ..Self::default()
        }
    }

    /// And everything in a folder but what is hidden.
    pub fn folder(&mut self, folder: PathBuf) {
        self.folders.push(folder);
    }

    /// And the code of a Cargo project's binaries.
    pub async fn code(&mut self, cargo: &Cargo, binaries: BTreeSet<String>) {
        self.binaries = binaries;
        let mut known = cargo.metadata(&["--offline"]).await;
        if known.is_err() {
            known = cargo.metadata(&["--no-deps"]).await;
        }
        let Ok(metadata) = known else {
            // A manifest that is wrong now may be right after the next save.
            self.packages = vec![cargo.directory.clone()];
            self.settings(&cargo.directory);
            return;
        };
        let local = metadata.packages.into_iter().filter(|package| package.source.is_none());
        let folders = local.filter_map(|package| Some(package.manifest_path.parent()?.as_std_path().to_owned()));
        self.packages = folders.collect();
        self.settings(metadata.workspace_root.as_std_path());
        self.settings(&cargo.directory);
        self.target = Some(metadata.target_directory.into());
    }

    fn settings(&mut self, folder: &Path) {
        self.files.extend(SETTINGS.map(|name| folder.join(name)));
    }

    /// The files as they are now.
    pub fn files(&self) -> Files {
        let mut files = Files::default();
        for path in &self.files {
            self.add(&mut files, path);
        }
        for folder in &self.folders {
            let walk = WalkBuilder::new(folder).standard_filters(false).hidden(true).build();
            self.add_all(&mut files, walk, |_| true);
        }
        let read = self.read_by_build();
        for folder in &self.packages {
            let mut walk = WalkBuilder::new(folder);
            walk.require_git(false).hidden(false);
            let target = self.target.clone();
            walk.filter_entry(move |entry| {
                let is_ours = matches!(entry.file_name().to_str(), Some(".git" | ".taskctl" | "target"));
                !is_ours && target.as_deref() != Some(entry.path())
            });
            self.add_all(&mut files, walk.build(), |path| {
                let ending = path.extension().and_then(|ending| ending.to_str());
                read.contains(path) || ending.is_some_and(|ending| CODE.contains(&ending))
            });
        }
        // What a build reads beside the packages, such as a text that is included. Within them, git says what counts.
        let is_outside = |path: &&PathBuf| {
            let mut known = self.packages.iter().chain(&self.target);
            !known.any(|folder| path.starts_with(folder))
        };
        for path in read.iter().filter(is_outside) {
            self.add(&mut files, path);
        }
        files
    }

    fn add_all(&self, files: &mut Files, walk: ignore::Walk, counts: impl Fn(&Path) -> bool) {
        for entry in walk.flatten() {
            let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
            if is_file && counts(entry.path()) && files.files.len() < MOST {
                self.add(files, entry.path());
            }
        }
    }

    fn add(&self, files: &mut Files, path: &Path) {
        let Ok(found) = fs::metadata(path) else { return };
        if self.outputs.contains(&(found.dev(), found.ino())) {
            return;
        }
        let written = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        files.files.insert(path.to_owned(), (written, found.len()));
    }

    /// What the last build of the binaries read, by Cargo's dep-info files beside them.
    /// <https://doc.rust-lang.org/cargo/reference/build-cache.html#dep-info-files>
    fn read_by_build(&self) -> BTreeSet<PathBuf> {
        let Some(target) = &self.target else {
            return BTreeSet::new();
        };
        // `target/PROFILE`, or `target/TRIPLE/PROFILE`.
        let near = folders(target);
        let all: Vec<PathBuf> = near
            .iter()
            .flat_map(|folder| folders(folder))
            .chain(near.clone())
            .collect();
        let infos = self.binaries.iter().filter_map(|binary| {
            let name = format!("{binary}.d");
            let found = all.iter().map(|folder| folder.join(&name)).filter_map(|path| {
                let written = fs::metadata(&path).ok()?.modified().ok()?;
                Some((written, path))
            });
            found.max().map(|(_, path)| path)
        });
        let texts = infos.filter_map(|path| fs::read_to_string(path).ok());
        texts.flat_map(|text| dependencies(&text)).collect()
    }
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

/// The paths of a dep-info file, `TARGET: PATH PATH…`, with spaces of paths escaped.
fn dependencies(text: &str) -> Vec<PathBuf> {
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines
        .flat_map(|(_, paths)| {
            let paths = paths.replace("\\ ", "\0");
            let paths = paths.split(' ').filter(|path| !path.is_empty());
            paths
                .map(|path| PathBuf::from(path.replace('\0', " ")))
                .collect::<Vec<_>>()
        })
        .collect()
}

impl Files {
    /// These files as `before` saw them; those that it did not see and that were written since then differ.
    #[must_use]
    pub fn seen_by(&self, before: &Self, since: SystemTime) -> Self {
        let known = |path: &PathBuf, stamp: &Stamp| match before.files.get(path) {
            Some(seen) => Some(*seen),
            None => Some(*stamp).filter(|(written, _)| *written < since),
        };
        let files = self.files.iter();
        Self {
            files: files
                .filter_map(|(path, stamp)| Some((path.clone(), known(path, stamp)?)))
                .collect(),
        }
    }

    pub fn count(&self) -> u64 {
        u64::try_from(self.files.len()).unwrap_or(u64::MAX)
    }

    /// What is in one and not the same in the other.
    pub fn differing(&self, other: &Self) -> Vec<PathBuf> {
        let all: BTreeSet<&PathBuf> = self.files.keys().chain(other.files.keys()).collect();
        let differing = all
            .into_iter()
            .filter(|path| self.files.get(*path) != other.files.get(*path));
        differing.cloned().collect()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    fn names(files: &Files, folder: &Path) -> Vec<String> {
        let paths = files.files.keys();
        paths
            .map(|path| path.strip_prefix(folder).unwrap().display().to_string())
            .collect()
    }

    /// A project whose function depends on a package beside it and includes a text from elsewhere.
    fn project() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let manifest = |name: &str, rest: &str| {
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n{rest}")
        };
        write(
            folder.path(),
            &[
                ("taskctl.yaml", "app: a"),
                (
                    "fn/Cargo.toml",
                    &manifest("echo", "[dependencies]\nshared = { path = \"../shared\" }\n"),
                ),
                (
                    "fn/src/main.rs",
                    "fn main() { print!(\"{}\", include_str!(\"../../text/hello.txt\")) }",
                ),
                ("fn/.cargo/config.toml", ""),
                ("fn/.gitignore", "/generated.rs\n"),
                ("fn/generated.rs", ""),
                ("fn/notes.txt", ""),
                ("shared/Cargo.toml", &manifest("shared", "")),
                ("shared/src/lib.rs", ""),
                ("text/hello.txt", "hello"),
                ("site/index.html", ""),
                ("site/.hidden", ""),
            ],
        );
        folder
    }

    async fn watch(folder: &Path) -> Watch {
        let mut watch = Watch::file(&folder.join("taskctl.yaml"));
        watch.folder(folder.join("site"));
        let cargo = Cargo {
            program: std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()).into(),
            directory: folder.join("fn"),
            own_toolchain: false,
        };
        watch.code(&cargo, BTreeSet::from(["echo".to_owned()])).await;
        watch.target = Some(folder.join("fn/target"));
        watch
    }

    #[tokio::test]
    async fn what_a_build_is_made_of_is_watched_and_nothing_else() {
        let project = project();
        let folder = fs::canonicalize(project.path()).unwrap();
        let watch = watch(&folder).await;
        let mut expected = vec![
            "fn/.cargo/config.toml",
            "fn/Cargo.toml",
            "fn/src/main.rs",
            "shared/Cargo.toml",
            "shared/src/lib.rs",
            "site/index.html",
            "taskctl.yaml",
        ];
        let found = names(&watch.files(), &folder);
        let found: Vec<&str> = found
            .iter()
            .map(String::as_str)
            .filter(|name| !name.ends_with("Cargo.lock"))
            .collect();
        assert_eq!(found, expected);

        // A build writes, and says what it read.
        let read = format!(
            "{0}/fn/target/handlers/echo: {0}/fn/src/main.rs {0}/fn/generated.rs {0}/shared/src/lib.rs {0}/text/hello.txt\n",
            folder.display()
        );
        write(
            &folder,
            &[
                ("fn/target/handlers/echo.d", &read),
                ("fn/target/handlers/build.rs", ""),
            ],
        );
        expected.push("text/hello.txt");
        let found = names(&watch.files(), &folder);
        let found: Vec<&str> = found
            .iter()
            .map(String::as_str)
            .filter(|name| !name.ends_with("Cargo.lock"))
            .collect();
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn own_output_is_not_watched() {
        let project = project();
        let folder = fs::canonicalize(project.path()).unwrap();
        let mut watch = watch(&folder).await;
        let output = fs::metadata(folder.join("fn/src/main.rs")).unwrap();
        watch.outputs.insert((output.dev(), output.ino()));
        assert!(!names(&watch.files(), &folder).contains(&"fn/src/main.rs".to_owned()));
    }

    #[test]
    fn what_was_saved_made_and_removed_differs() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(folder.path(), &[("kept", "1"), ("saved", "1"), ("removed", "1")]);
        let mut watch = Watch::default();
        watch.folder(folder.path().to_owned());
        let before = watch.files();
        write(folder.path(), &[("saved", "22"), ("made", "1")]);
        fs::remove_file(at("removed")).unwrap();
        assert_eq!(watch.files().differing(&before), ["made", "removed", "saved"].map(at));
    }

    #[test]
    fn what_comes_under_watch_with_a_build_was_seen_unless_it_was_saved_since() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &[("old", "1"), ("new", "1")]);
        let mut watch = Watch::default();
        watch.folder(folder.path().to_owned());
        let later = watch.files();
        let seen = |since| later.seen_by(&Files::default(), since);
        assert_eq!(
            later.differing(&seen(SystemTime::now() + std::time::Duration::from_secs(9))),
            [] as [PathBuf; 0]
        );
        assert_eq!(later.differing(&seen(SystemTime::UNIX_EPOCH)).len(), 2);
    }

    #[test]
    fn paths_of_dep_info_may_have_spaces() {
        assert_eq!(
            dependencies("/t/echo: /a/my\\ project/main.rs /b/lib.rs\n"),
            ["/a/my project/main.rs", "/b/lib.rs"].map(PathBuf::from)
        );
    }
}
