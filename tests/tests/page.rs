//! The web page in a real browser: list, create, edit, complete, delete, filter, page; with the keyboard, on a phone's width,
//! without the API.

use serde_json::json;
use taskctl_tests::browser::key;
use taskctl_tests::{Browser, Project};

fn create(project: &Project, title: &str, more: serde_json::Value) {
    let mut body = json!({ "title": title });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let answer = ureq::post(format!("{}/tasks", project.live("dev")))
        .send_json(body)
        .unwrap();
    assert_eq!(answer.status(), 201);
}

fn site(project: &Project) -> String {
    project.status("dev")["endpoints"]["site"].as_str().unwrap().to_owned()
}

const COUNT: &str = "document.querySelectorAll('#tasks li').length";

#[test]
fn tasks_are_kept_with_the_keyboard_alone() {
    let Some(browser) = Browser::start(1000, 760) else {
        eprintln!("no Chromium and chromedriver here: the page is not tried in a browser");
        return;
    };
    let project = Project::platform("keyboard");
    project.run(&["deploy"]).expect(0);
    browser.open(&site(&project));
    browser.until("!document.getElementById('empty').hidden");
    assert_eq!(
        browser.run("return document.getElementById('empty').textContent"),
        "No tasks yet. Add the first one above."
    );

    browser.run("document.querySelector('#create input').focus()");
    for title in ["Water the garden", "Call the plumber", "Pay the rent"] {
        browser.press(title);
        browser.press(key::ENTER);
        browser.until(&format!(
            "document.querySelector('#tasks .title')?.textContent === '{title}'"
        ));
    }
    assert_eq!(browser.run(&format!("return {COUNT}")), 3);

    // From the box of a new task to the first of the list: Add, its box, its title.
    browser.press(&[key::TAB, key::TAB, key::SPACE].concat());
    browser.until("document.querySelector('#tasks li').classList.contains('done')");
    browser.press(&[key::TAB, key::ENTER].concat());
    browser.until("document.getElementById('editor').open");
    browser.press(" on Monday");
    browser.press(key::ENTER);
    browser.until("!document.getElementById('editor').open");
    browser.until("document.querySelector('#tasks .title').textContent === 'Pay the rent on Monday'");
    assert_eq!(
        browser.run("return document.activeElement.className"),
        "title",
        "the focus returns"
    );
    browser.press(key::ENTER);
    browser.until("document.getElementById('editor').open");
    browser.press(key::ESCAPE);
    browser.until("!document.getElementById('editor').open");

    browser.click("#tasks .title");
    browser.until("document.getElementById('editor').open");
    browser.click("#editor [value=delete]");
    browser.until(&format!("{COUNT} === 2"));

    // What the page shows is what the API has, also after it is opened again.
    browser.open(&site(&project));
    browser.until(&format!("{COUNT} === 2"));
    let trouble: Vec<_> = browser
        .console()
        .into_iter()
        .filter(|(level, _)| level == "SEVERE")
        .collect();
    assert_eq!(
        trouble,
        [],
        "the console is quiet: no policy is broken, nothing is missing"
    );
}

#[test]
fn long_lists_filters_and_a_phone() {
    let Some(browser) = Browser::start(360, 740) else {
        eprintln!("no Chromium and chromedriver here: the page is not tried in a browser");
        return;
    };
    let project = Project::platform("phone");
    project.run(&["deploy"]).expect(0);
    for number in 0..22 {
        create(&project, &format!("Task {number}"), json!({"priority": "LOW"}));
    }
    let long =
        "A title that is longer than a phone is wide, with aVeryLongWordThatCannotBeBrokenAnywhereAtAllWithoutHelp";
    create(
        &project,
        long,
        json!({"tags": ["home", "garden"], "priority": "HIGH", "dueAt": "2027-01-31T09:00:00Z"}),
    );
    create(
        &project,
        "<img src=x onerror=alert(1)>",
        json!({"status": "IN_PROGRESS"}),
    );

    browser.open(&site(&project));
    browser.until(&format!("{COUNT} === 20"));
    browser.picture("page-phone.png");
    assert_eq!(
        browser.run("return document.documentElement.scrollWidth"),
        360,
        "nothing hangs over the edge"
    );
    assert_eq!(
        browser.run("return document.querySelectorAll('#tasks img').length"),
        0,
        "titles are text"
    );
    browser.click("#more");
    browser.until(&format!("{COUNT} === 24 && document.getElementById('more').hidden"));

    browser.run(
        "const tag = document.querySelector('#filters [name=tag]'); tag.value = 'garden'; tag.form.requestSubmit()",
    );
    browser.until(&format!("{COUNT} === 1"));
    browser.run("document.querySelector('#filters').reset(); const s = document.querySelector('#filters [name=status]'); s.value = 'DONE'; s.dispatchEvent(new Event('change', {bubbles: true}))");
    browser.until("!document.getElementById('empty').hidden");
    assert_eq!(
        browser.run("return document.getElementById('empty').textContent"),
        "No task matches the filter."
    );

    // Without the API the page says so, and goes on when it is back.
    browser.network(false);
    browser.run("document.querySelector('#filters').reset(); document.querySelector('#filters').requestSubmit()");
    browser.until("!document.getElementById('failure').hidden");
    browser.network(true);
    browser.click("#again");
    browser.until(&format!("{COUNT} === 20"));
    browser.open(&format!("{}/no/such/page", site(&project)));
    browser.until("document.title.length > 0 && !document.getElementById('tasks')");
}

#[test]
fn a_page_connects_to_its_api_alone() {
    let Some(browser) = Browser::start(1000, 760) else {
        eprintln!("no Chromium and chromedriver here: the page is not tried in a browser");
        return;
    };
    let project = Project::platform("connected");
    project.run(&["deploy"]).expect(0);
    browser.open(&site(&project));
    browser.until("!document.getElementById('empty').hidden");
    browser
        .run("document.addEventListener('securitypolicyviolation', (event) => { window.blocked = event.blockedURI })");
    for elsewhere in ["https://attacker.example/", "http://127.0.0.1:9/"] {
        browser.run(&format!(
            "window.blocked = null; fetch('{elsewhere}').catch(() => {{}})"
        ));
        browser.until("window.blocked !== null");
    }
}

#[test]
fn how_it_looks() {
    let Some(browser) = Browser::start(1000, 760) else {
        eprintln!("no Chromium and chromedriver here: the page is not tried in a browser");
        return;
    };
    let project = Project::platform("looks");
    project.run(&["deploy"]).expect(0);
    for (title, more) in [
        (
            "Order seeds for the spring",
            json!({"tags": ["garden"], "status": "DONE"}),
        ),
        (
            "Call the plumber about the tap",
            json!({"priority": "HIGH", "tags": ["home"]}),
        ),
        (
            "Book the train to Lyon",
            json!({"status": "IN_PROGRESS", "dueAt": "2027-03-01T17:30:00Z", "tags": ["travel", "spring"]}),
        ),
        (
            "Write the release notes",
            json!({"description": "What changed, and what to do."}),
        ),
    ] {
        create(&project, title, more);
    }
    browser.open(&site(&project));
    browser.until(&format!("{COUNT} === 4"));
    browser.picture("page.png");
    browser.click("#tasks .title");
    browser.until("document.getElementById('editor').open");
    browser.picture("page-editor.png");
}
