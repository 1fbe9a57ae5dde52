//! The templates shipped in the binary.

/// A shipped template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Embedded {
    /// Its name, as `taskctl init --template` takes it.
    pub name: &'static str,
    /// What it creates, in one line.
    pub summary: &'static str,
    /// Its text.
    pub text: &'static str,
    /// Files of its web sites: path beside the template, and text.
    pub site: &'static [(&'static str, &'static str)],
}

/// The page of the tasks API.
const SITE: &[(&str, &str)] = &[
    ("site/index.html", include_str!("../../../templates/site/index.html")),
    ("site/error.html", include_str!("../../../templates/site/error.html")),
    ("site/app.js", include_str!("../../../templates/site/app.js")),
    ("site/style.css", include_str!("../../../templates/site/style.css")),
];

/// The shipped templates, the default first.
pub const EMBEDDED: &[Embedded] = &[
    Embedded {
        name: "hello",
        summary: "one function behind an API: the smallest thing that answers",
        text: include_str!("../../../templates/hello.yaml"),
        site: &[],
    },
    Embedded {
        name: "platform",
        summary: "tasks, users, assets, counter and web page behind one API",
        text: include_str!("../../../templates/platform.yaml"),
        site: SITE,
    },
    Embedded {
        name: "task-tracker",
        summary: "web page and task API with alarms and dashboard",
        text: include_str!("../../../templates/task-tracker.yaml"),
        site: SITE,
    },
    Embedded {
        name: "task-manager",
        summary: "paginated task API, dev and prod apart",
        text: include_str!("../../../templates/task-manager.yaml"),
        site: &[],
    },
    Embedded {
        name: "backend",
        summary: "users and assets: unique e-mails, presigned uploads, backups",
        text: include_str!("../../../templates/backend.yaml"),
        site: &[],
    },
    Embedded {
        name: "visitor-counter",
        summary: "atomic counter and health check, released behind a gate",
        text: include_str!("../../../templates/visitor-counter.yaml"),
        site: &[],
    },
];

/// The text of a shipped template.
#[must_use]
pub fn embedded(name: &str) -> Option<&'static str> {
    EMBEDDED
        .iter()
        .find(|template| template.name == name)
        .map(|template| template.text)
}

/// The names of the shipped templates, the default first.
#[must_use]
pub fn embedded_names() -> Vec<&'static str> {
    EMBEDDED.iter().map(|template| template.name).collect()
}
