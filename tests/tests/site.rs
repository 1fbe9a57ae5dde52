//! The web site: files with hashes in their names, pages that change when their release goes live and return with it.

use std::fs;

use serde_json::Value;
use taskctl_tests::Project;
use taskctl_tests::repository;

/// What the stage's site answers.
struct Page {
    status: u16,
    cache: String,
    content_type: String,
    text: String,
}

fn get(project: &Project, path: &str) -> Page {
    get_at(project.status("dev")["endpoints"]["site"].as_str().unwrap(), path)
}

fn get_at(url: &str, path: &str) -> Page {
    let host = url.strip_prefix("http://").unwrap();
    // Not every resolver knows names under localhost.
    let (_, port) = host.rsplit_once(':').unwrap();
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let request = agent
        .get(format!("http://127.0.0.1:{port}/{path}"))
        .header("host", host);
    let mut answer = request.call().unwrap();
    let header = |name: &str| {
        answer
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    Page {
        status: answer.status().as_u16(),
        cache: header("cache-control").unwrap_or_default(),
        content_type: header("content-type").unwrap_or_default(),
        text: answer.body_mut().read_to_string().unwrap(),
    }
}

fn script(page: &str) -> String {
    let (_, rest) = page.split_once("src=\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

fn edit(project: &Project, file: &str, from: &str, to: &str) {
    let path = project.directory().join("site").join(file);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_site_is_published_with_its_release() {
    let project = Project::platform("pages");
    project.run(&["deploy"]).expect(0);
    let first = get(&project, "");
    assert_eq!((first.status, first.cache.as_str()), (200, "no-cache"));
    assert_eq!(first.content_type, "text/html; charset=utf-8");
    let before = script(&first.text);
    assert!(
        before.starts_with("app.") && before.len() == "app.0123456789.js".len(),
        "{before}"
    );
    let code = get(&project, &before);
    assert!(code.cache.contains("immutable") && code.content_type.starts_with("text/javascript"));
    let config: Value = serde_json::from_str(&get(&project, "config.json").text).unwrap();
    assert_eq!(config["apiUrl"], project.live("dev"));
    // The page may connect to its API and nowhere else.
    let live = project.live("dev");
    let origin: Vec<&str> = live.splitn(4, '/').take(3).collect();
    let rule = format!("connect-src 'self' {};", origin.join("/"));
    assert!(first.text.contains(&rule), "{rule} is not in {}", first.text);
    let missing = get(&project, "nothing/here");
    assert_eq!(missing.status, 404);
    assert_eq!(
        missing.text,
        fs::read_to_string(repository().join("templates/site/error.html"))
            .unwrap()
            .replace(
                "style.css",
                first
                    .text
                    .split("href=\"style")
                    .nth(1)
                    .map(|rest| format!("style{}", rest.split('"').next().unwrap()))
                    .unwrap()
                    .as_str(),
            )
    );

    // Its pages may call the API from every name that they have here, on the port of this target.
    let site = project.status("dev")["endpoints"]["site"].as_str().unwrap().to_owned();
    let (_, port) = site.rsplit_once(':').unwrap();
    for (page, may) in [
        (site.clone(), true),
        (format!("http://localhost:{port}"), true),
        (format!("http://127.0.0.1:{port}"), true),
        ("http://localhost:9".to_owned(), false),
        (format!("http://other.localhost:{port}"), false),
    ] {
        let asked = ureq::get(format!("{live}/health")).header("origin", &page).call();
        let allowed = asked.unwrap().headers().get("access-control-allow-origin").cloned();
        assert_eq!(allowed.is_some_and(|allowed| allowed == *page), may, "{page}");
    }

    // What waits is not seen, and only what changed is sent.
    edit(&project, "app.js", "// The page", "// Changed. The page");
    fs::write(project.directory().join("site/about.html"), "<p>About</p>").unwrap();
    let waiting = project
        .run(&["deploy", "--no-promote", "--output", "json", "--trace"])
        .expect(0);
    let puts = |run: &taskctl_tests::Run| {
        let is_put = |event: &&Value| event["operation"] == "s3:PutObject" && event["resource"] == "site_content.site";
        run.events().iter().filter(is_put).count()
    };
    // The script, the pages that name it or are kept with it, config and list.
    assert!(puts(&waiting) <= 6, "{}", puts(&waiting));
    assert_eq!(script(&get(&project, "").text), before);
    assert_eq!(get(&project, "about.html").status, 404);

    project.run(&["promote", "--yes"]).expect(0);
    let after = script(&get(&project, "").text);
    assert_ne!(after, before);
    assert_eq!(get(&project, &after).status, 200);
    assert_eq!(
        get(&project, &before).status,
        200,
        "pages that are still open ask for it"
    );
    assert_eq!(get(&project, "about.html").text, "<p>About</p>");
    let plan = project.run(&["plan", "--output", "json"]).expect(0);
    assert_eq!(plan.changes(), Vec::<String>::new());

    project.run(&["rollback", "--yes"]).expect(0);
    assert_eq!(script(&get(&project, "").text), before);
    assert_eq!(get(&project, "about.html").status, 404);
    project.run(&["destroy", "--yes", "--output", "json"]).expect(0);
}

/// Whatever refers to a file, and however: it answers under its own name, in the version of what is live.
#[test]
fn every_file_answers_under_its_own_name() {
    let project = Project::platform("plain");
    let write = |path: &str, text: &str| {
        let path = project.directory().join("site").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let page = "<link rel=\"manifest\" href=\"manifest.webmanifest\"><script type=\"module\" src=\"js/app.js\"></script>\
                <script type=\"module\">import { a } from \"./js/app.js\"</script><style>body { background: url(\"img/cover.png\") }</style>\
                <link rel=\"icon\" href=\"favicon.ico\"><img src=\"img/cover.png\" srcset=\"img/cover.png 1x, img/cover@2x.png 2x\">\
                <img src=\"img/cover@2x.png\"><link rel=\"apple-touch-icon\" href=\"icons/icon-192.png\">";
    let others = [
        "favicon.ico",
        "img/cover.png",
        "img/cover@2x.png",
        "icons/icon-192.png",
        "manifest.webmanifest",
    ];
    write("plain.html", page);
    write("js/app.js", "export const a = 1");
    for path in others {
        write(path, path);
    }
    project.run(&["deploy"]).expect(0);
    let url = project.status("dev")["endpoints"]["site"].as_str().unwrap().to_owned();
    for path in others {
        let file = get_at(&url, path);
        assert_eq!(
            (file.status, file.text.as_str(), file.cache.as_str()),
            (200, path, "no-cache"),
            "{path}"
        );
    }
    assert_eq!(get_at(&url, "js/app.js").text, "export const a = 1");
    let none = project.run(&["plan", "--output", "json"]).expect(0);
    assert_eq!(none.changes(), Vec::<String>::new());

    write("js/app.js", "export const a = 2");
    fs::remove_file(project.directory().join("site/favicon.ico")).unwrap();
    project.run(&["deploy"]).expect(0);
    assert_eq!(get_at(&url, "js/app.js").text, "export const a = 2");
    assert_eq!(get_at(&url, "favicon.ico").status, 404);

    project.run(&["rollback", "--yes"]).expect(0);
    assert_eq!(get_at(&url, "js/app.js").text, "export const a = 1");
    assert_eq!(get_at(&url, "favicon.ico").text, "favicon.ico");
    project.run(&["destroy", "--yes"]).expect(0);
}

/// What is live is the content of the release, no more: a page that left the folder is gone with its release's deploy, and comes
/// back with a rollback.
#[test]
fn a_page_that_was_taken_away_is_gone() {
    let project = Project::platform("removed");
    let secret = project.directory().join("site/secret.html");
    project.run(&["deploy"]).expect(0);
    fs::write(&secret, "<p>secret</p>").unwrap();
    project.run(&["deploy"]).expect(0);
    let url = project.status("dev")["endpoints"]["site"].as_str().unwrap().to_owned();
    let get = |path: &str| get_at(&url, path);
    assert_eq!(get("secret.html").text, "<p>secret</p>");
    fs::remove_file(&secret).unwrap();
    let deployed = project.run(&["deploy", "--output", "json"]).expect(0);
    assert!(
        deployed.changes().contains(&"update site_pages.site site".to_owned()),
        "{:?}",
        deployed.changes()
    );
    assert_eq!(get("secret.html").status, 404);
    let plan = project.run(&["plan", "--output", "json"]).expect(0);
    assert_eq!(plan.changes(), Vec::<String>::new());

    // Neither what is kept of it nor what waits can be read by everybody.
    let bucket = format!("{}-dev-site-000000000000-{}", project.app, project.region());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.block_on(project.clients());
    let listed = clients.s3.list_objects_v2().bucket(&bucket).prefix(".taskctl/");
    let listed = runtime.block_on(listed.send()).unwrap();
    let kept: Vec<&str> = listed.contents().iter().filter_map(|object| object.key()).collect();
    let secret_kept = kept.iter().find(|key| key.ends_with("/secret.html")).unwrap();
    assert_eq!(get(secret_kept).status, 403, "{secret_kept}");

    // Something added among its pages is no part of a release.
    let index =
        |key: &&&str| key.ends_with("/index.html") && !secret_kept.starts_with(key.trim_end_matches("index.html"));
    let extra = kept.iter().find(index).unwrap().replace("index.html", "extra.html");
    let put = clients.s3.put_object().bucket(&bucket).key(&extra);
    runtime.block_on(put.body(b"extra".to_vec().into()).send()).unwrap();
    let seen = project.run(&["plan", "--output", "json"]).expect(2);
    let changes = seen.changes();
    assert!(
        changes.contains(&format!("update site_content.site files.{extra}")),
        "{changes:?}"
    );
    project.run(&["deploy"]).expect(0);
    assert_eq!(get("extra.html").status, 404);
    project.run(&["plan"]).expect(0);

    project.run(&["rollback", "--yes"]).expect(0);
    assert_eq!(get("secret.html").text, "<p>secret</p>");
    project.run(&["deploy"]).expect(0);
    assert_eq!(get("secret.html").status, 404);
    let plan = project.run(&["plan", "--output", "json"]).expect(0);
    assert_eq!(plan.changes(), Vec::<String>::new());
}

#[test]
fn a_page_that_was_taken_away_is_gone_without_an_api() {
    let project = Project::platform("pagesonly");
    project.write("app: pagesonly\nregion: eu-central-1\nstages: {dev: {}}\nbuckets: {site: {website: true}}\n");
    let site = project.directory().join("site");
    let bucket = format!("{}-dev-site-000000000000-{}", project.app, project.region());
    let folder = |page: Option<&str>| {
        fs::remove_dir_all(&site).unwrap();
        fs::create_dir(&site).unwrap();
        fs::write(site.join("index.html"), "<p>index</p>").unwrap();
        if let Some(page) = page {
            fs::write(site.join(page), "<p>secret</p>").unwrap();
        }
    };
    folder(None);
    project.run(&["deploy"]).expect(0);
    folder(Some("secret.html"));
    project.run(&["deploy"]).expect(0);
    folder(None);
    let deployed = project.run(&["deploy", "--output", "json"]).expect(0);
    assert_eq!(deployed.changes(), ["update site_pages.site site"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.block_on(project.clients());
    let listed = runtime
        .block_on(clients.s3.list_objects_v2().bucket(&bucket).send())
        .unwrap();
    let keys: Vec<&str> = listed.contents().iter().filter_map(|object| object.key()).collect();
    assert!(
        keys.contains(&"index.html") && !keys.contains(&"secret.html"),
        "{keys:?}"
    );
    project.run(&["plan"]).expect(0);
    project.run(&["destroy", "--yes"]).expect(0);
}

#[test]
fn what_somebody_else_wrote_is_seen_and_mended_and_own_files_are_no_data() {
    let project = Project::platform("mended");
    project.run(&["deploy"]).expect(0);
    let bucket = format!("{}-dev-site-000000000000-{}", project.app, project.region());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let clients = runtime.block_on(project.clients());
    let put = |key: &'static str| {
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"<p>somebody else</p>");
        let request = clients.s3.put_object().bucket(&bucket).key(key).body(body);
        runtime.block_on(request.send()).unwrap();
    };
    put("index.html");
    let seen = project.run(&["plan", "--output", "json"]).expect(2);
    assert_eq!(seen.changes(), ["update site_pages.site site"]);
    project.run(&["deploy"]).expect(0);
    assert!(get(&project, "").text.contains("<title>Tasks</title>"));

    // A bucket with nothing but published files goes; one with files of others stays.
    put("theirs.txt");
    let kept = project.run(&["destroy", "--yes", "--output", "json"]).expect(0);
    assert!(kept.out.contains("--delete-data site"), "{}", kept.out);
    runtime
        .block_on(clients.s3.delete_object().bucket(&bucket).key("theirs.txt").send())
        .unwrap();
    project.run(&["destroy", "--yes"]).expect(0);
    let gone = runtime.block_on(clients.s3.head_bucket().bucket(&bucket).send());
    assert!(gone.is_err());
}

#[test]
fn a_folder_that_cannot_be_published_changes_nothing() {
    let project = Project::platform("unfit");
    let site = project.directory().join("site");
    std::os::unix::fs::symlink("/etc/hostname", site.join("host.txt")).unwrap();
    let refused = project.run(&["deploy"]).expect(1);
    assert!(
        refused.err.contains("host.txt") && refused.err.contains("link"),
        "{}",
        refused.err
    );
    fs::remove_file(site.join("host.txt")).unwrap();
    fs::remove_file(site.join("index.html")).unwrap();
    let refused = project.run(&["deploy"]).expect(1);
    assert!(refused.err.contains("it has no index.html"), "{}", refused.err);
    fs::remove_dir_all(&site).unwrap();
    let warned = project.run(&["plan"]).expect(2);
    assert!(
        warned.err.contains("no content") || warned.out.contains("no content"),
        "{}",
        warned.err
    );
}
