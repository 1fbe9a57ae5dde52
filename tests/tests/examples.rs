//! Projects that nobody wrote for taskctl are built, deployed, promoted, changed and rolled back as they are.

use std::fs;

use taskctl_tests::{Project, Run, projects_target, repository};

/// An answer that tells two versions of an example apart.
struct Example {
    project: Project,
    /// Whether the project says itself where it is built; else all are built in one folder.
    has_target: bool,
    /// What the first version answers to [`Example::ask`], and the second.
    answers: [&'static str; 2],
    /// What makes the second version of the first: file, text, its replacement.
    change: (&'static str, &'static str, &'static str),
    ask: fn(&str) -> String,
}

fn get(url: &str) -> String {
    let mut answer = ureq::get(url).call().unwrap();
    answer.body_mut().read_to_string().unwrap()
}

impl Example {
    /// Runs a command that may build.
    fn build(&self, arguments: &[&str]) -> Run {
        let target = projects_target();
        let target = target.to_string_lossy();
        let common = [("CARGO_TARGET_DIR", &*target)];
        let environment = if self.has_target { &[][..] } else { &common };
        let arguments = [arguments, &["--local"]].concat();
        self.project
            .local
            .run_with(&arguments, self.project.directory(), environment)
            .expect(0)
    }

    #[track_caller]
    fn live_answers(&self, expected: &str) {
        assert_eq!((self.ask)(&self.project.live("dev")), expected);
    }

    fn goes_forth_and_back(&self) {
        let [first, second] = self.answers;
        self.build(&["deploy"]);
        self.project.run(&["promote", "--yes"]).expect(0);
        self.live_answers(first);

        let (file, before, after) = self.change;
        let path = self.project.directory().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(before), "{file} has no {before}");
        fs::write(path, text.replace(before, after)).unwrap();
        self.build(&["deploy"]);
        self.live_answers(first);
        self.project.run(&["promote", "--yes"]).expect(0);
        self.live_answers(second);

        self.project.run(&["rollback", "--yes"]).expect(0);
        self.live_answers(first);
        self.project.run(&["destroy", "--yes"]).expect(0);
    }
}

#[test]
fn one_package_with_lambda_http() {
    Example {
        project: Project::example("quotes", "example-quotes"),
        has_target: false,
        answers: [
            r#"["hopper","lovelace","hamilton"]"#,
            r#"["hopper","lovelace","johnson"]"#,
        ],
        change: ("src/main.rs", "hamilton", "johnson"),
        ask: |live| get(&format!("{live}/quotes")),
    }
    .goes_forth_and_back();
}

#[test]
fn a_workspace_with_axum_and_a_handler_of_events() {
    Example {
        project: Project::example("shop", "example-shop"),
        has_target: false,
        answers: [r#"320 {"cents":440}"#, r#"350 {"cents":470}"#],
        // In the library that both functions have.
        change: ("prices/src/lib.rs", "320", "350"),
        ask: |live| {
            let article = get(&format!("{live}/articles/bread"));
            let cents = article
                .rsplit(':')
                .next()
                .unwrap_or_default()
                .trim_end_matches('}')
                .to_owned();
            let mut order = ureq::post(format!("{live}/orders"))
                .content_type("application/json")
                .send(r#"{"bread":1,"apple":3}"#)
                .unwrap();
            format!("{cents} {}", order.body_mut().read_to_string().unwrap())
        },
    }
    .goes_forth_and_back();
}

fn checksum(live: &str) -> String {
    get(&format!("{live}/checksum?text=123456789"))
}

const CHECKSUMS: [&str; 2] = [
    r#"{"algorithm":"crc32","checksum":"cbf43926"}"#,
    r#"{"algorithm":"crc32","checksum":"340bc6d9"}"#,
];

/// The C code changes, and with it what the build script makes.
const C_CHANGE: (&str, &str, &str) = ("c/crc32.c", "return ~crc", "return crc");

#[test]
fn a_build_script_and_c() {
    Example {
        project: Project::example("checksum", "example-checksum"),
        has_target: false,
        answers: CHECKSUMS,
        change: C_CHANGE,
        ask: checksum,
    }
    .goes_forth_and_back();
}

/// `cargo lambda`'s own metadata, a target folder of the project's choice, and the toolchain under another of its names.
#[test]
fn settings_of_cargo_rustup_and_cargo_lambda() {
    let project = Project::example("checksum", "example-settings");
    let write = |file: &str, text: &str| {
        let path = project.directory().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let manifest = fs::read_to_string(project.directory().join("Cargo.toml")).unwrap();
    let metadata =
        "\n[package.metadata.lambda.deploy]\nmemory = 512\n\n[package.metadata.lambda.env]\nRUST_LOG = \"info\"\n";
    write("Cargo.toml", &(manifest + metadata));
    let target = projects_target();
    write(
        ".cargo/config.toml",
        &format!("[build]\ntarget-dir = \"{}\"\n", target.display()),
    );
    let toolchain = fs::read_to_string(repository().join("rust-toolchain.toml")).unwrap();
    let channel = toolchain.split('"').nth(1).unwrap();
    let name = format!("{channel}-{}-unknown-linux-gnu", std::env::consts::ARCH);
    write("rust-toolchain.toml", &format!("[toolchain]\nchannel = \"{name}\"\n"));
    Example {
        project,
        has_target: true,
        answers: CHECKSUMS,
        change: C_CHANGE,
        ask: checksum,
    }
    .goes_forth_and_back();
}
