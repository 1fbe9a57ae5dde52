//! Packaging against real, tiny Cargo projects.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::event::{Event, Events, Recorder};
use crate::template::model::Architecture;

use super::*;

/// A Cargo project with two binaries, in a directory of its own.
struct Project {
    dir: tempfile::TempDir,
}

const MANIFEST_TEXT: &str = r#"
[package]
name = "functions"
version = "0.1.0"
edition = "2024"

[workspace]

[profile.handlers]
inherits = "release"
strip = "symbols"
"#;

impl Project {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("src/bin")).unwrap();
        fs::write(dir.path().join("Cargo.toml"), MANIFEST_TEXT).unwrap();
        let project = Self { dir };
        project.write("src/bin/counter.rs", "fn main() { println!(\"counter\"); }\n");
        project.write("src/bin/health.rs", "fn main() { println!(\"health\"); }\n");
        project
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.dir.path().join(path), text).unwrap();
    }

    fn request(&self, functions: &[(&str, &str)]) -> PackageRequest {
        PackageRequest {
            functions: functions
                .iter()
                .map(|(function, binary)| source(function, binary, host()))
                .collect(),
            destination: Destination::Lambda,
            template_dir: self.dir.path().to_owned(),
            profile: "handlers".to_owned(),
            features: Vec::new(),
            arguments: Vec::new(),
            target_dir: Some(self.dir.path().join("target")),
            out_dir: self.dir.path().join("out"),
            cargo: Cargo {
                program: PathBuf::from(env!("CARGO")),
                directory: self.dir.path().to_owned(),
                own_toolchain: false,
            },
            cargo_home: None,
        }
    }
}

fn host() -> Architecture {
    match HostPlatform::current() {
        HostPlatform::Linux(architecture) | HostPlatform::Mac(architecture) => architecture,
        HostPlatform::Other => Architecture::Arm64,
    }
}

fn other() -> Architecture {
    match host() {
        Architecture::Arm64 => Architecture::X86_64,
        Architecture::X86_64 => Architecture::Arm64,
    }
}

fn source(function: &str, binary: &str, architecture: Architecture) -> FunctionSource {
    FunctionSource {
        function: function.to_owned(),
        binary: binary.to_owned(),
        architecture,
        code: None,
    }
}

async fn run(request: &PackageRequest) -> (Result<Vec<Package>, PackageError>, Vec<Event>) {
    let recorder = Arc::new(Recorder::default());
    let events: Events = recorder.clone();
    let result = package(request, &events).await;
    (result, recorder.take())
}

/// What the operator would read: the error, its causes, its hint.
async fn failure(request: &PackageRequest, project: &Path) -> String {
    let error = run(request).await.0.unwrap_err();
    let report = crate::event::ErrorReport::new(&error, error.hint());
    let mut lines = vec![report.message];
    lines.extend(report.causes);
    lines.extend(report.hint);
    lines.join("\n").replace(project.to_str().unwrap(), "PROJECT")
}

#[tokio::test]
async fn functions_are_built_and_packaged_once() {
    let project = Project::new();
    let request = project.request(&[("visits", "counter"), ("health", "health"), ("again", "counter")]);

    let (first, events) = run(&request).await;
    let first = first.unwrap();
    let names: Vec<&str> = first.iter().map(|package| package.function.as_str()).collect();
    assert_eq!(names, ["visits", "health", "again"]);
    assert_eq!(first[0].code_sha256, first[2].code_sha256);
    assert_ne!(first[0].code_sha256, first[1].code_sha256);
    assert!(
        first
            .iter()
            .all(|package| package.glibc.is_some_and(|glibc| glibc <= RUNTIME_GLIBC)),
        "{first:?}"
    );
    assert!(first[0].fits_direct_upload());
    let zip = fs::read(&first[0].zip_path).unwrap();
    assert_eq!(archive::code_sha256(&zip), first[0].code_sha256);
    assert!(
        matches!(&events[0], Event::BuildStarted { command } if command.starts_with("cargo build --package functions --profile handlers --bin counter --bin health"))
    );
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::BuildOutput { line } if line.starts_with("Compiling")))
    );
    assert!(events.iter().any(|event| matches!(event, Event::BuildFinished { .. })));
    assert_eq!(
        events
            .iter()
            .filter(|event| matches!(event, Event::Packaged { .. }))
            .count(),
        3
    );

    // Nothing changed: the same packages, nothing compiled, no zip written. Cargo may still say that it waited for the
    // lock of another one's package cache.
    let written = fs::metadata(&first[0].zip_path).unwrap().modified().unwrap();
    let (second, events) = run(&request).await;
    assert_eq!(second.unwrap(), first);
    assert!(
        !events
            .iter()
            .any(|event| matches!(event, Event::BuildOutput { line } if line.starts_with("Compiling"))),
        "{events:?}"
    );
    assert_eq!(fs::metadata(&first[0].zip_path).unwrap().modified().unwrap(), written);

    // One changed: only its package is another.
    project.write("src/bin/health.rs", "fn main() { println!(\"changed\"); }\n");
    let third = run(&request).await.0.unwrap();
    assert_eq!(third[0], first[0]);
    assert_ne!(third[1].code_sha256, first[1].code_sha256);
}

#[tokio::test]
async fn a_damaged_or_lost_zip_is_made_again() {
    let project = Project::new();
    let request = project.request(&[("counter", "counter")]);
    let first = run(&request).await.0.unwrap();
    for damage in [
        |path: &Path| fs::remove_file(path),
        |path: &Path| fs::write(path, "cut"),
    ] {
        damage(&first[0].zip_path).unwrap();
        assert_eq!(run(&request).await.0.unwrap(), first);
        assert_eq!(
            archive::code_sha256(&fs::read(&first[0].zip_path).unwrap()),
            first[0].code_sha256
        );
    }
}

#[tokio::test]
async fn the_place_of_the_checkout_does_not_show() {
    let hash = async |project: &Project| {
        project.write("src/bin/counter.rs", "fn main() { let x: Option<u8> = std::env::args().next().map(|a| a.len() as u8); println!(\"{}\", x.unwrap() / 0u8.max(std::env::args().count() as u8)); }\n");
        run(&project.request(&[("counter", "counter")])).await.0.unwrap()[0]
            .code_sha256
            .clone()
    };
    assert_eq!(hash(&Project::new()).await, hash(&Project::new()).await);
}

#[tokio::test]
async fn warnings_are_told_when_compiled_and_not_again() {
    let project = Project::new();
    project.write("src/bin/counter.rs", "fn main() { let unused = 1; }\n");
    let request = project.request(&[("counter", "counter")]);
    let told = |events: Vec<Event>| {
        events
            .iter()
            .filter(|event| matches!(event, Event::BuildOutput { line } if line.contains("unused variable")))
            .count()
    };
    assert_eq!(told(run(&request).await.1), 1);
    assert_eq!(told(run(&request).await.1), 0);
}

#[tokio::test]
async fn code_that_does_not_compile_is_one_error_with_the_compilers_words() {
    let project = Project::new();
    project.write("src/bin/counter.rs", "fn main() { missing(); }\n");
    let text = failure(&project.request(&[("counter", "counter")]), project.dir.path()).await;
    insta::assert_snapshot!(text, @r#"
the functions do not compile
error[E0425]: cannot find function `missing` in this scope
 --> src/bin/counter.rs:1:13
  |
1 | fn main() { missing(); }
  |             ^^^^^^^ not found in this scope
fix the errors; to see only the build: (cd PROJECT && cargo build --package functions --profile handlers --bin counter --target-dir PROJECT/target)
"#);
}

#[tokio::test]
async fn a_binary_that_is_not_there_is_named_with_its_likes() {
    let project = Project::new();
    let text = failure(&project.request(&[("visits", "countr")]), project.dir.path()).await;
    insta::assert_snapshot!(text, @r#"
function visits is made of the binary `countr`, which the Cargo project does not have
did you mean `counter`? There are counter, health
"#);
}

/// Nothing of taskctl's: several packages, one of them outside of the default members and with a feature that its binary needs, a
/// name with another dash, flags as one text, a target folder of its own.
#[tokio::test]
async fn any_project_is_built_as_its_own_settings_say() {
    let project = Project::new();
    fs::remove_dir_all(project.dir.path().join("src")).unwrap();
    project.write(
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"shop\", \"admin\"]\ndefault-members = [\"shop\"]\n",
    );
    let package = |name: &str, rest: &str| format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n{rest}");
    for folder in ["shop/src", "admin/src/bin", ".cargo"] {
        fs::create_dir_all(project.dir.path().join(folder)).unwrap();
    }
    project.write("shop/Cargo.toml", &package("shop", ""));
    project.write(
        "shop/src/main.rs",
        "fn main() { println!(\"{}\", env!(\"SET_BY_CONFIG\")); }\n",
    );
    let needs = "[features]\nreports = []\n[[bin]]\nname = \"user_list\"\nrequired-features = [\"reports\"]\n";
    project.write("admin/Cargo.toml", &package("admin-tools", needs));
    project.write("admin/src/lib.rs", "#[cfg(feature = \"more\")]\npub fn more() {}\n");
    project.write(
        "admin/src/bin/user_list.rs",
        "fn main() { assert!(cfg!(flag_of_the_user)); }\n",
    );
    project.write(
        ".cargo/config.toml",
        "[build]\nrustflags = \"--cfg flag_of_the_user\"\ntarget-dir = \"elsewhere\"\n[env]\nSET_BY_CONFIG = \"yes\"\n",
    );
    let mut request = project.request(&[("shop", "shop"), ("user-list", "user-list")]);
    request.profile = "release".to_owned();
    request.target_dir = None;
    request.cargo_home = Some(PathBuf::from("/home/somebody/.cargo"));

    let (packages, events) = run(&request).await;
    assert_eq!(packages.unwrap().len(), 2);
    let command = events.iter().find_map(|event| match event {
        Event::BuildStarted { command } => Some(command.as_str()),
        _ => None,
    });
    assert_eq!(
        command.unwrap(),
        "cargo build --package admin-tools --package shop --profile release --bin shop --bin user_list \
         --features admin-tools/reports"
    );
    // The variable counts before the setting, as it does for Cargo.
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "elsewhere".into());
    let made = project.dir.path().join(target).join("release/user_list");
    assert!(
        std::process::Command::new(&made).status().unwrap().success(),
        "the user's flags count"
    );

    // With the lock that this build made; a lock that is out of date is no riddle.
    request.arguments = vec!["--locked".to_owned(), "--offline".to_owned()];
    run(&request).await.0.unwrap();
    fs::remove_file(project.dir.path().join("Cargo.lock")).unwrap();
    let text = failure(&request, project.dir.path()).await;
    assert!(text.ends_with("or build without --locked"), "{text}");
}

/// `serve` is in two packages, `lib` has none.
#[tokio::test]
async fn binaries_that_cannot_be_told_apart_are_named_with_their_packages() {
    let project = Project::new();
    project.write(
        "Cargo.toml",
        "[workspace]\nresolver = \"3\"\nmembers = [\"one\", \"two\"]\n",
    );
    for name in ["one", "two"] {
        fs::create_dir_all(project.dir.path().join(name).join("src/bin")).unwrap();
        project.write(
            &format!("{name}/Cargo.toml"),
            &format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n"),
        );
        project.write(
            &format!("{name}/src/bin/serve.rs"),
            &format!("fn main() {{ println!(\"{name}\"); }}\n"),
        );
    }
    project.write("one/src/bin/list.rs", "fn main() {}\n");
    let mut request = project.request(&[("api", "serve")]);
    request.profile = "dev".to_owned();
    insta::assert_snapshot!(failure(&request, project.dir.path()).await, @r"
    the binary of function api is in several packages: serve (package one), serve (package two)
    rename one of them, or set `handlers:` to the folder of the package that is meant
    ");
    insta::assert_snapshot!(failure(&project.request(&[("api", "srve")]), project.dir.path()).await, @r"
    function api is made of the binary `srve`, which the Cargo project does not have
    did you mean `serve`? There are list (package one), serve (package one), serve (package two)
    ");
    // The package whose folder is named is meant.
    let mut codes = Vec::new();
    for name in ["one", "two"] {
        request.cargo.directory = project.dir.path().join(name);
        codes.push(run(&request).await.0.unwrap().remove(0).code_sha256);
    }
    assert_ne!(codes[0], codes[1]);

    for name in ["one", "two"] {
        fs::remove_dir_all(project.dir.path().join(name).join("src/bin")).unwrap();
        project.write(&format!("{name}/src/lib.rs"), "");
    }
    request.cargo.directory = project.dir.path().to_owned();
    insta::assert_snapshot!(failure(&request, project.dir.path()).await, @r"
    the Cargo project in PROJECT has no binary; a function is one
    write one as src/main.rs or src/bin/NAME.rs; a library alone (one, two) is not run; or name another project with --handlers DIR
    ");
}

#[tokio::test]
async fn a_directory_without_a_project_is_said_to_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let project = Project::new();
    for directory in [dir.path().to_owned(), dir.path().join("nowhere")] {
        let mut request = project.request(&[("counter", "counter")]);
        request.cargo.directory = directory;
        let text = failure(&request, dir.path()).await;
        assert!(
            text.contains("is not inside a Cargo project") && text.contains("--handlers DIR"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_is_told_in_cargos_words() {
    let project = Project::new();
    project.write("Cargo.toml", "[package\n");
    let text = failure(&project.request(&[("counter", "counter")]), project.dir.path()).await;
    assert!(
        text.starts_with("cargo cannot read the project in PROJECT\nerror: "),
        "{text}"
    );
}

/// Also what Cargo has started ends; here it is a build script that would take a minute and holds a lock meanwhile.
#[tokio::test]
async fn a_build_that_is_stopped_ends_as_a_whole() {
    let project = Project::new();
    let script = r#"fn main() {
        let lock = std::fs::File::create("lock").unwrap();
        lock.lock().unwrap();
        std::fs::write("locked", "").unwrap();
        std::thread::sleep(std::time::Duration::from_secs(60));
    }"#;
    project.write("build.rs", script);
    let request = project.request(&[("counter", "counter")]);
    let build = tokio::spawn(async move { run(&request).await.0 });
    wait_for(|| project.dir.path().join("locked").exists().then_some(())).await;
    let lock = fs::File::open(project.dir.path().join("lock")).unwrap();
    assert!(lock.try_lock().is_err());
    build.abort();
    wait_for(|| lock.try_lock().ok()).await;
}

/// Waits until something is there.
async fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let patience = tokio::time::Duration::from_secs(50);
    let waiting = async {
        loop {
            if let Some(found) = found() {
                return found;
            }
            tokio::time::sleep(tokio::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(patience, waiting).await.unwrap()
}

#[tokio::test]
async fn a_missing_profile_is_given_to_copy() {
    let project = Project::new();
    project.write("Cargo.toml", MANIFEST_TEXT.split("[profile").next().unwrap());
    let text = failure(&project.request(&[("counter", "counter")]), project.dir.path()).await;
    insta::assert_snapshot!(text, @r"
    cargo failed (exit status: 101)
    error: profile `handlers` is not defined
    add the profile to the workspace's Cargo.toml, or set `handlers: {profile: release}`
    ");
}

/// Also where the project is in a directory whose name has a space.
#[test]
fn the_build_can_be_repeated_as_it_is_shown() {
    let error = PackageError::Compile {
        said: error::Said(String::new()),
        dir: PathBuf::from("/srv/my project/functions"),
        command: "cargo build --package functions".to_owned(),
    };
    assert_eq!(
        error.hint().unwrap(),
        "fix the errors; to see only the build: (cd '/srv/my project/functions' && cargo build --package functions)"
    );
}

#[tokio::test]
async fn without_cargo_it_is_said_how_to_get_it() {
    let project = Project::new();
    let mut request = project.request(&[("counter", "counter")]);
    request.cargo.program = project.dir.path().join("no-cargo");
    let text = failure(&request, project.dir.path()).await;
    insta::assert_snapshot!(text, @r"
    cargo was not found (PROJECT/no-cargo)
    install Rust: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh
    or deploy what was packaged elsewhere: `taskctl deploy --artifacts DIR`
    ");
}

/// What cannot be built here is refused before anything is built, with the lines that install what is missing.
#[tokio::test]
async fn another_architecture_is_built_across_or_refused() {
    let project = Project::new();
    let mut request = project.request(&[]);
    request.functions = vec![source("counter", "counter", other())];
    match run(&request).await.0 {
        Ok(packages) => assert_eq!(packages[0].architecture, other()),
        Err(PackageError::NoBuilder {
            function,
            architecture,
            install,
            ..
        }) => {
            assert_eq!((function.as_str(), architecture), ("counter", other()));
            assert!(!install.is_empty());
        }
        Err(error) => panic!("{error:?}"),
    }
    request.destination = Destination::ThisMachine;
    assert!(matches!(run(&request).await.0, Err(PackageError::CannotRunHere { .. })));
}

/// A symbol that came with glibc 2.36. Where the linker's own glibc is older, it is the linker that refuses.
#[tokio::test]
async fn a_glibc_newer_than_lambdas_is_refused_for_lambda_only() {
    let project = Project::new();
    let code =
        "unsafe extern \"C\" { fn arc4random() -> u32; }\nfn main() { println!(\"{}\", unsafe { arc4random() }); }\n";
    project.write("src/bin/counter.rs", code);
    let mut request = project.request(&[("counter", "counter")]);
    let refused = run(&request).await.0;
    request.destination = Destination::ThisMachine;
    match refused {
        Err(PackageError::GlibcTooNew {
            function,
            needed,
            install,
        }) => {
            assert_eq!((function.as_str(), needed.to_string().as_str()), ("counter", "2.36"));
            assert!(
                install[0].starts_with("cargo install --locked cargo-zigbuild"),
                "{install:?}"
            );
            assert!(run(&request).await.0.is_ok());
        }
        // With cargo-zigbuild at hand it is built again against the older glibc, which lacks the symbol.
        Err(PackageError::Compile { .. } | PackageError::Cargo { .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_full_disk_is_said_to_be_full() {
    let full = std::io::Error::from_raw_os_error(28);
    let error = PackageError::io("writing", Path::new("out/counter.zip"), full);
    assert_eq!(error.to_string(), "no space left on the disk of out/counter.zip");
    assert!(error.hint().is_some());
}

#[tokio::test]
async fn artifacts_are_what_was_written() {
    let project = Project::new();
    let request = project.request(&[("counter", "counter"), ("health", "health")]);
    let packages = run(&request).await.0.unwrap();
    let dist = project.dir.path().join("dist");
    let version = SourceVersion {
        commit: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        dirty: true,
    };
    let written = write_artifacts(&dist, &packages, Some(version.clone())).unwrap();
    assert_eq!(written[0].zip_path, dist.join("counter.zip"));
    assert_eq!(
        read_artifacts(&dist, &request.functions).unwrap(),
        (written, Some(version))
    );

    let say = |functions: &[FunctionSource]| {
        let error = read_artifacts(&dist, functions).unwrap_err();
        format!("{error}\n{}", error.hint().unwrap_or_default())
            .replace(project.dir.path().to_str().unwrap(), "PROJECT")
    };
    insta::assert_snapshot!(say(&[source("heath", "health", host())]), @r#"
PROJECT/dist has no package for function heath
did you mean `health`? Packages are there for counter, health
"#);
    assert!(say(&[source("counter", "counter", other())]).contains("and the template says"));
    let zip = fs::read(dist.join("counter.zip")).unwrap();
    fs::write(dist.join("counter.zip"), &zip[..zip.len() - 1]).unwrap();
    assert!(say(&request.functions).contains("has another hash than its manifest says"));
    fs::write(dist.join(MANIFEST), r#"{"format":1,"source":null,"packages":{"counter":{"file":"../counter.zip","bytes":1,"codeSha256":"","binarySha256":"","architecture":"x86_64","glibc":null}}}"#).unwrap();
    insta::assert_snapshot!(say(&request.functions), @r"
    PROJECT/dist/packages.json is not a manifest of packages: `../counter.zip` is not the name of a file beside it
    make it again: `taskctl package --out PROJECT/dist`
    ");
    fs::write(dist.join(MANIFEST), "{}").unwrap();
    insta::assert_snapshot!(say(&request.functions), @r"
    PROJECT/dist/packages.json is not a manifest of packages: missing field `format` at line 1 column 2
    make it again: `taskctl package --out PROJECT/dist`
    ");
    fs::remove_file(dist.join(MANIFEST)).unwrap();
    insta::assert_snapshot!(say(&request.functions), @r"
    PROJECT/dist has no packages.json
    make it: `taskctl package --out PROJECT/dist`
    ");
}
