//! The Lambda functions of a Cargo project that was not made for taskctl: its binaries over the Lambda runtime, with what
//! `package.metadata.lambda` says of them.
//! <https://www.cargo-lambda.info/guide/configuration.html>

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, Metadata, Package, Target};
use serde_json::Value;

use super::cargo::Cargo;
use super::error::PackageError;
use crate::template::model::Architecture;

/// What makes a binary a function: a dependency of its package on one of these.
const RUNTIMES: [&str; 2] = ["lambda_runtime", "lambda_http"];

/// A function that a project has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFunction {
    /// The binary.
    pub binary: String,
    /// Whether it answers HTTP requests: it is built on `lambda_http`.
    pub is_http: bool,
    /// Memory, MB.
    pub memory: Option<u64>,
    /// Longest run, seconds.
    pub timeout: Option<u64>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// The architecture, where the project names one.
    pub architecture: Option<Architecture>,
    /// Whether it is traced.
    pub tracing: bool,
    /// Method and path of each of its routes, as an HTTP API writes them.
    pub routes: Vec<String>,
    /// Settings that are not taken over, by their names.
    pub left: Vec<String>,
}

/// The functions of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFunctions {
    /// What the project is called: its package where there is one, else its folder.
    pub name: String,
    /// Its functions, by their binaries.
    pub functions: Vec<FoundFunction>,
}

impl FoundFunctions {
    /// Asks Cargo.
    pub async fn of(cargo: &Cargo) -> Result<Self, PackageError> {
        Ok(found(&cargo.metadata(&["--no-deps"]).await?))
    }
}

fn found(metadata: &Metadata) -> FoundFunctions {
    let packages = metadata.workspace_packages();
    let mut functions = Vec::new();
    for package in &packages {
        let depends = |name: &str| {
            package
                .dependencies
                .iter()
                .any(|one| one.name == name && one.kind == DependencyKind::Normal)
        };
        if !RUNTIMES.iter().any(|name| depends(name)) {
            continue;
        }
        let settings = Settings::of(metadata, package);
        let binaries = package.targets.iter().filter(|target| target.is_bin());
        functions.extend(binaries.map(|target| settings.function(target, depends("lambda_http"))));
    }
    functions.sort_by(|one, other| one.binary.cmp(&other.binary));
    functions.dedup_by(|one, other| one.binary == other.binary);
    let name = match &packages[..] {
        [one] => one.name.to_string(),
        _ => metadata.workspace_root.file_name().unwrap_or_default().to_owned(),
    };
    FoundFunctions { name, functions }
}

/// What the manifests say of the functions of a package.
struct Settings<'all> {
    /// The workspace's table, then the package's: the later counts.
    tables: [&'all Value; 2],
}

/// Settings of a function that this reads.
const READ: [&str; 9] = [
    "memory",
    "timeout",
    "env",
    "env_var",
    "tracing",
    "enable_function_url",
    "binary_name",
    "lambda_dir",
    "output_format",
];

impl<'all> Settings<'all> {
    fn of(metadata: &'all Metadata, package: &'all Package) -> Self {
        Self {
            tables: [&metadata.workspace_metadata["lambda"], &package.metadata["lambda"]],
        }
    }

    /// The tables of a function, from the most general to its own.
    fn deploys(&self, binary: &str) -> impl Iterator<Item = &'all Value> {
        let of_all = self.tables.iter().map(|table| &table["deploy"]);
        let binary = binary.to_owned();
        let own = self.tables.iter().map(move |table| &table["bin"][&binary]["deploy"]);
        of_all.chain(own).collect::<Vec<_>>().into_iter()
    }

    fn function(&self, target: &Target, is_http: bool) -> FoundFunction {
        let binary = &target.name;
        let last = |key: &str| self.deploys(binary).filter_map(|table| table.get(key)).last();
        let mut environment = BTreeMap::new();
        for table in self.tables {
            environment.extend(texts(&table["env"]));
            environment.extend(texts(&table["bin"][binary]["env"]));
        }
        for table in self.deploys(binary) {
            environment.extend(texts(&table["env"]));
        }
        let mut left: Vec<String> = self
            .deploys(binary)
            .filter_map(Value::as_object)
            .flat_map(|table| table.keys().filter(|key| !READ.contains(&key.as_str())).cloned())
            .collect();
        left.sort();
        left.dedup();
        FoundFunction {
            binary: binary.clone(),
            is_http,
            memory: last("memory").and_then(number),
            timeout: last("timeout").and_then(number),
            environment,
            architecture: self.architecture(),
            tracing: last("tracing")
                .and_then(Value::as_str)
                .is_some_and(|word| word.eq_ignore_ascii_case("active")),
            routes: self.routes(binary),
            left,
        }
    }

    fn architecture(&self) -> Option<Architecture> {
        let builds = self.tables.iter().rev().map(|table| &table["build"]);
        builds.filter_map(Value::as_object).find_map(|build| {
            let is_set = |key: &str| build.get(key).and_then(Value::as_bool) == Some(true);
            let target = build.get("target").and_then(Value::as_str).unwrap_or_default();
            if is_set("arm64") || target.starts_with("aarch64") {
                Some(Architecture::Arm64)
            } else if is_set("x86_64") || target.starts_with("x86_64") {
                Some(Architecture::X86_64)
            } else {
                None
            }
        })
    }

    /// The routes that the local router of cargo-lambda has for a function.
    fn routes(&self, binary: &str) -> Vec<String> {
        let routers = self
            .tables
            .iter()
            .filter_map(|table| table["watch"]["router"].as_object());
        let mut routes = Vec::new();
        for (path, to) in routers.flatten() {
            let path = greedy(path);
            match to {
                Value::String(name) if name == binary => routes.push(format!("ANY {path}")),
                Value::Array(all) => {
                    let own = all.iter().filter(|one| one["function"] == binary);
                    routes.extend(own.flat_map(methods).map(|method| format!("{method} {path}")));
                }
                Value::Object(_) if to["function"] == binary => {
                    routes.extend(methods(to).into_iter().map(|method| format!("{method} {path}")));
                }
                _ => {}
            }
        }
        routes
    }
}

/// A path's last part that takes all, as an HTTP API writes it: `{*rest}` is `{rest+}`.
fn greedy(path: &str) -> String {
    match path.split_once("{*") {
        Some((before, name)) => format!("{before}{{{}+}}", name.trim_end_matches('}')),
        None => path.to_owned(),
    }
}

fn methods(route: &Value) -> Vec<String> {
    let one = route["method"].as_str().into_iter();
    let several = route["methods"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let named: Vec<String> = one.chain(several).map(str::to_uppercase).collect();
    if named.is_empty() {
        vec!["ANY".to_owned()]
    } else {
        named
    }
}

fn texts(table: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let members = table.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.clone(), text(value))).collect()
}

/// A number, also one in quotes.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    async fn found_in(files: &[(&str, &str)]) -> FoundFunctions {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join("shop").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let cargo = Cargo {
            program: PathBuf::from(env!("CARGO")),
            directory: folder.path().join("shop"),
            own_toolchain: false,
        };
        FoundFunctions::of(&cargo).await.unwrap()
    }

    #[tokio::test]
    async fn settings_of_a_function_come_before_those_of_its_package_and_of_the_workspace() {
        let found = found_in(&[
            (
                "Cargo.toml",
                r#"[workspace]
                members = ["web", "other"]
                resolver = "3"
                [workspace.metadata.lambda.deploy]
                timeout = 60
                tracing = "Active"
                "#,
            ),
            (
                "web/Cargo.toml",
                r#"[package]
                name = "web"
                [[bin]]
                name = "orders"
                path = "main.rs"
                [[bin]]
                name = "stock"
                path = "main.rs"
                [dependencies]
                lambda_http = "1"
                [package.metadata.lambda.env]
                TABLE = "orders"
                [package.metadata.lambda.build]
                target = "aarch64-unknown-linux-gnu.2.17"
                [package.metadata.lambda.deploy]
                memory = "256"
                layers = ["one"]
                [package.metadata.lambda.bin.stock.deploy]
                memory = 1024
                env = { TABLE = "stock", LIMIT = 5 }
                [package.metadata.lambda.watch.router]
                "/orders/{*rest}" = "orders"
                "/stock/{id}" = [{ function = "stock", methods = ["get", "put"] }]
                "#,
            ),
            ("web/main.rs", "fn main() {}"),
            (
                "other/Cargo.toml",
                "[package]\nname = \"other\"\n[[bin]]\nname = \"tool\"\npath = \"main.rs\"\n",
            ),
            ("other/main.rs", "fn main() {}"),
        ])
        .await;
        assert_eq!(found.name, "shop");
        let orders = FoundFunction {
            binary: "orders".to_owned(),
            is_http: true,
            memory: Some(256),
            timeout: Some(60),
            environment: [("TABLE".to_owned(), "orders".to_owned())].into(),
            architecture: Some(Architecture::Arm64),
            tracing: true,
            routes: vec!["ANY /orders/{rest+}".to_owned()],
            left: vec!["layers".to_owned()],
        };
        let stock = FoundFunction {
            binary: "stock".to_owned(),
            memory: Some(1024),
            environment: [
                ("LIMIT".to_owned(), "5".to_owned()),
                ("TABLE".to_owned(), "stock".to_owned()),
            ]
            .into(),
            routes: vec!["GET /stock/{id}".to_owned(), "PUT /stock/{id}".to_owned()],
            ..orders.clone()
        };
        assert_eq!(found.functions, [orders, stock]);
    }

    #[tokio::test]
    async fn a_project_without_functions_has_none() {
        let manifest = "[package]\nname = \"shop\"\n[dev-dependencies]\nlambda_runtime = \"1\"\n";
        let found = found_in(&[("Cargo.toml", manifest), ("src/main.rs", "fn main() {}")]).await;
        assert_eq!(
            found,
            FoundFunctions {
                name: "shop".to_owned(),
                functions: Vec::new()
            }
        );
    }
}
