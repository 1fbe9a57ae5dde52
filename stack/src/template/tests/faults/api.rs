//! Routes and origins.

use super::{codes, faults, read, with};
use crate::template::{Code, Color, Severity};

#[test]
fn routes_that_collide() {
    let text = with(
        "functions: {tasks: {}}\napi:\n  routes:\n    GET /tasks/{id}: tasks\n    GET /tasks/{taskId}: tasks\n    ANY /a/{rest+}: tasks\n    ANY /a/{proxy+}: tasks\n    GET /tasks/list: tasks",
    );
    insta::assert_snapshot!(faults(&text), @"
    error[collision]: `GET /tasks/{taskId}` takes the same requests as `GET /tasks/{id}`
     --> taskctl.yaml:7:5
      |
    5 |   routes:
    6 |     GET /tasks/{id}: tasks
      |     --------------- this one came first
    7 |     GET /tasks/{taskId}: tasks
      |     ^^^^^^^^^^^^^^^^^^^ this route
    8 |     ANY /a/{rest+}: tasks
      |
      = help: parameters at the same place match the same requests, whatever they are called: keep one route

    error[collision]: `ANY /a/{proxy+}` takes the same requests as `ANY /a/{rest+}`
      --> taskctl.yaml:9:5
       |
     7 |     GET /tasks/{taskId}: tasks
     8 |     ANY /a/{rest+}: tasks
       |     -------------- this one came first
     9 |     ANY /a/{proxy+}: tasks
       |     ^^^^^^^^^^^^^^^ this route
    10 |     GET /tasks/list: tasks
       |
       = help: parameters at the same place match the same requests, whatever they are called: keep one route
    ");
}

#[test]
fn routes_that_cannot_be() {
    let text = with(
        "functions: {tasks: {}}\napi:\n  routes:\n    GTE /a: tasks\n    GET b: tasks\n    GET /preview: tasks\n    GET /preview/x: tasks\n    GET /c/{a+}/d: tasks\n    GET /e/{id}/{id}: tasks\n    GET /f/x{id}: tasks\n    GET /g/{}: tasks\n    GET: tasks\n    GET /previews: tasks",
    );
    insta::assert_snapshot!(faults(&text), @"
    error[bad-value]: `GTE` is not a method of a route
     --> taskctl.yaml:6:5
      |
    5 |   routes:
    6 |     GTE /a: tasks
      |     ^^^^^^
    7 |     GET b: tasks
      |
      = help: did you mean `GET`?
      = help: allowed: ANY, DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT

    error[bad-value]: the path `b` does not begin with `/`
     --> taskctl.yaml:7:5
      |
    6 |     GTE /a: tasks
    7 |     GET b: tasks
      |     ^^^^^
    8 |     GET /preview: tasks
      |
      = help: write `GET /tasks`

    error[bad-value]: `/preview` would never be reached: `/preview` is the slot where releases wait
     --> taskctl.yaml:8:5
      |
    7 |     GET b: tasks
    8 |     GET /preview: tasks
      |     ^^^^^^^^^^^^
    9 |     GET /preview/x: tasks
      |
      = help: choose another path

    error[bad-value]: `/preview/x` would never be reached: `/preview` is the slot where releases wait
      --> taskctl.yaml:9:5
       |
     8 |     GET /preview: tasks
     9 |     GET /preview/x: tasks
       |     ^^^^^^^^^^^^^^
    10 |     GET /c/{a+}/d: tasks
       |
       = help: choose another path

    error[bad-value]: `{a+}` takes the whole rest and must come last
      --> taskctl.yaml:10:5
       |
     9 |     GET /preview/x: tasks
    10 |     GET /c/{a+}/d: tasks
       |     ^^^^^^^^^^^^^
    11 |     GET /e/{id}/{id}: tasks
       |
       = help: move it to the end

    error[bad-value]: the path has the parameter `id` twice
      --> taskctl.yaml:11:5
       |
    10 |     GET /c/{a+}/d: tasks
    11 |     GET /e/{id}/{id}: tasks
       |     ^^^^^^^^^^^^^^^^
    12 |     GET /f/x{id}: tasks
       |
       = help: give each its own name

    error[bad-value]: `x{id}` mixes a parameter with text
      --> taskctl.yaml:12:5
       |
    11 |     GET /e/{id}/{id}: tasks
    12 |     GET /f/x{id}: tasks
       |     ^^^^^^^^^^^^
    13 |     GET /g/{}: tasks
       |
       = help: a parameter is a whole segment: `/tasks/{taskId}`

    error[bad-value]: `{}` is not a path parameter
      --> taskctl.yaml:13:5
       |
    12 |     GET /f/x{id}: tasks
    13 |     GET /g/{}: tasks
       |     ^^^^^^^^^
    14 |     GET: tasks
       |
       = help: a parameter's name has letters, digits, `-`, `_`, `.` and `:`

    error[bad-value]: `GET` is not a route
      --> taskctl.yaml:14:5
       |
    13 |     GET /g/{}: tasks
    14 |     GET: tasks
       |     ^^^
    15 |     GET /previews: tasks
       |
       = help: a route is a method and a path, `GET /tasks/{taskId}`, or `$default`
    ");
}

#[test]
fn three_hundred_routes_are_the_most() {
    let mut text = with("functions: {tasks: {}}\napi:\n  routes:");
    for route in 0..301 {
        text.push_str(&format!("    GET /r{route}: tasks\n"));
    }
    assert_eq!(codes(text), [Code::TooMany]);
}

#[test]
fn credentials_for_any_origin() {
    let text = with(
        "functions: {a: {}}\napi:\n  cors:\n    allow_origins: ['*', 'example.org', 'https://example.org/path']\n    allow_credentials: true\n  routes: {GET /a: a}",
    );
    insta::assert_snapshot!(faults(&text), @"
    error[conflict]: browsers refuse credentials together with the origin `*`
     --> taskctl.yaml:6:21
      |
    5 |   cors:
    6 |     allow_origins: ['*', 'example.org', 'https://example.org/path']
      |                     ^^^ any origin
    7 |     allow_credentials: true
      |                        ---- with credentials
    8 |   routes: {GET /a: a}
      |
      = help: name the origins, or set `allow_credentials: false`

    error[bad-value]: `api.cors.allow_origins.1`: `example.org` is not an origin
     --> taskctl.yaml:6:26
      |
    5 |   cors:
    6 |     allow_origins: ['*', 'example.org', 'https://example.org/path']
      |                          ^^^^^^^^^^^^^
    7 |     allow_credentials: true
      |
      = help: an origin is scheme, host and port without a path: https://example.org, http://localhost:1580, or `*`

    error[bad-value]: `api.cors.allow_origins.2`: `https://example.org/path` is not an origin
     --> taskctl.yaml:6:41
      |
    5 |   cors:
    6 |     allow_origins: ['*', 'example.org', 'https://example.org/path']
      |                                         ^^^^^^^^^^^^^^^^^^^^^^^^^^
    7 |     allow_credentials: true
      |
      = help: an origin is scheme, host and port without a path: https://example.org, http://localhost:1580, or `*`
    ");
}

#[test]
fn a_function_slower_than_the_api_waits() {
    let loaded = read(
        &with("functions:\n  slow: {timeout: 1m}\napi:\n  routes: {GET /slow: slow}"),
        "dev",
    );
    insta::assert_snapshot!(loaded.warnings.render(Color::Plain), @"
    warning[suspicious]: `slow` may run 60 s, but the API answers 503 after 30 s
     --> taskctl.yaml:4:19
      |
    3 | functions:
    4 |   slow: {timeout: 1m}
      |                   ^^
    5 | api:
    6 |   routes: {GET /slow: slow}
      |                       ---- `GET /slow` waits for it
      |
      = help: set `timeout: 30s` or less
    ");
    assert_eq!(loaded.warnings.list()[0].severity, Severity::Warning);
}
