//! `taskctl doctor`: whether this machine and account have what is needed, and what to do where they do not.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use jiff::Timestamp;
use taskctl_local::{LocalOptions, LocalState};
use taskctl_stack::aws::client::error::{ACCOUNT_BLOCKS, ACCOUNT_BLOCKS_HINT};
use taskctl_stack::aws::kinds::lambda;
use taskctl_stack::aws::kinds::lambda::account::{Concurrency, UNRESERVED_MINIMUM};
use taskctl_stack::aws::kinds::s3::bucket::{PublicAccessBlock, account_public_access_block};
use taskctl_stack::aws::release::presence::{NotDeployed, not_deployed};
use taskctl_stack::event::{ErrorReport, joined_advice};
use taskctl_stack::observe::diagnosis::{self, Repaired, Seen, Symptom};
use taskctl_stack::package::preflight;
use taskctl_stack::status::{self, ABANDONED, Status};
use tokio::process::Command;

use crate::answers::{Finding, Findings, Verdict};
use crate::cli::{BuildArgs, Output};
use crate::code_source::CodeSource;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::http_probe::allowed_origin;
use crate::project::Project;
use crate::report::plan::Details;
use crate::report::{CommandHint, Lines, Purpose, json_answer};
use crate::session::{self, Invocation, Session};
use crate::stack_ref::StackRef;
use crate::target::{Target, local_options};
use crate::ui::clock::minute_with_zone;
use crate::ui::style::{Style, Tone};
use crate::ui::text::{fill, plain, size, wrap};

pub fn run(invocation: &Invocation) -> Exit {
    session::run(invocation, Purpose::Answer, Details::Changes, async |session| {
        doctor(&session).await
    })
}

async fn doctor(session: &Session) -> Result<Exit, Failure> {
    let mut findings = session.unless_stopped(examine(session)).await?;
    complete(&mut findings, &session.command_hint());
    let text = match session.global.output {
        Output::Json => json_answer("the findings", &Findings { checks: &findings }, Lines::Many)?,
        Output::Human | Output::Github => render(&findings, &session.env.out),
    };
    session.reporter.answer(text);
    let is_bad = findings.iter().any(|finding| finding.verdict == Verdict::Bad);
    Ok(if is_bad { Exit::CheckFailed } else { Exit::Ok })
}

/// Advice is about the stage that was examined.
fn complete(findings: &mut [Finding], hint: &CommandHint) {
    for fix in findings.iter_mut().filter_map(|finding| finding.fix.as_mut()) {
        *fix = hint.complete(fix);
    }
}

async fn examine(session: &Session) -> Vec<Finding> {
    let env = &session.env;
    let options = local_options(&session.global, env);
    let project = Project::open(&session.global, env);
    let folder = project.as_ref().map(|project| project.handlers(None));
    let cargo = env.cargo(folder.as_deref().unwrap_or(&env.directory)).program;
    let (cargo, functions, account, python, local) = futures::join!(
        toolchain(&cargo),
        functions(session, project.as_ref().ok()),
        account(session, project.as_ref().ok()),
        python(&options),
        local(&options),
    );
    let is_running = taskctl_local::status(&options).await.state == LocalState::Running;
    let template = match &project {
        Ok(project) => {
            let stack = &project.template.stack;
            Finding::good("template", format!("{}/{} in {}", stack.app, stack.stage, stack.region))
        }
        Err(failure) => Finding::failed("template", failure),
    };
    let is_reachable = match session.target {
        Target::Aws => account.as_ref().is_some_and(|account| account.verdict == Verdict::Good),
        Target::Local(_) => is_running,
    };
    let mut findings = vec![template, cargo];
    findings.extend(functions);
    findings.extend(account);
    findings.extend([python, local, disk(&env.directory)]);
    if let Some(project) = project.ok().filter(|_| is_reachable) {
        findings.extend(web_sites(session, &project).await);
        findings.extend(concurrency(session, &project).await);
        findings.extend(stage(session, &project).await);
    }
    findings
}

/// Whether the account lets the template's web sites be public.
async fn web_sites(session: &Session, project: &Project) -> Option<Finding> {
    let stack = &project.template.stack;
    if stack.buckets.values().all(|bucket| bucket.website.is_none()) {
        return None;
    }
    // Who cannot connect is told by the findings about the stage.
    let engine = session.connect_quietly(&StackRef::of(stack)).await.ok()?;
    let block = account_public_access_block(engine.context()).await.ok()??;
    closed_account(block)
}

/// Whether the account lets enough of its functions run at once.
async fn concurrency(session: &Session, project: &Project) -> Option<Finding> {
    let engine = session
        .connect_quietly(&StackRef::of(&project.template.stack))
        .await
        .ok()?;
    let account = lambda::account::concurrency(engine.context()).await.ok()??;
    new_account(account)
}

fn new_account(account: Concurrency) -> Option<Finding> {
    (account.limit < UNRESERVED_MINIMUM).then(|| {
        Finding::attention(
            "concurrency",
            format!(
                "the account runs {} invocations at once here, of all its functions together: what comes on top is throttled, and \
                 no function can have `reserved_concurrency`",
                account.limit
            ),
            "ask for more: Service Quotas, AWS Lambda, \"Concurrent executions\"",
        )
    })
}

fn closed_account(block: PublicAccessBlock) -> Option<Finding> {
    block.keeps_closed().then(|| Finding {
        check: "web site",
        verdict: Verdict::Bad,
        found: format!("the bucket of the web site cannot be public: {ACCOUNT_BLOCKS}"),
        fix: Some(ACCOUNT_BLOCKS_HINT.to_owned()),
    })
}

/// What hurts the deployed stage: denied calls, missing libraries, throttling, refused origins, unconfirmed addresses.
async fn stage(session: &Session, project: &Project) -> Vec<Finding> {
    let stack = &project.template.stack;
    let stack_ref = StackRef::of(stack);
    let engine = match session.connect_quietly(&stack_ref).await {
        Ok(engine) => engine,
        Err(failure) => return vec![Finding::failed("stage", &failure)],
    };
    let context = engine.context();
    let site = |bucket: &str| session.target.website_url(bucket, &stack_ref.region);
    let looking = async {
        futures::try_join!(
            diagnosis::examine(context, engine.control()),
            status::read(context, engine.control(), site)
        )
    };
    let (symptoms, status) = match looking.await {
        Ok((_, None)) => {
            return vec![absent(&not_deployed(context).await)];
        }
        Ok((symptoms, Some(status))) => (symptoms, status),
        Err(error) => {
            let report = ErrorReport::new(&error, error.hint());
            return vec![Finding::bad("stage", &report)];
        }
    };
    let now = Timestamp::now();
    let is_gone = |symptom: &Symptom| symptom.kind == "missing";
    let names_missing = symptoms.iter().any(is_gone);
    let mut findings: Vec<Finding> = symptoms.into_iter().map(|symptom| finding(symptom, now)).collect();
    // What is gone is said above, with what to do.
    let complaints = status
        .complaints()
        .into_iter()
        .filter(|one| !(names_missing && one.ends_with("is gone")));
    findings.extend(complaints.map(|complaint| complained(complaint, &status)));
    let changed: Vec<&str> = status
        .functions
        .iter()
        .filter(|function| function.changed_since)
        .map(|function| function.name.as_str())
        .collect();
    if !changed.is_empty() {
        findings.push(Finding::attention(
            "drift",
            format!("changed since the last deploy, not by taskctl: {}", changed.join(", ")),
            "`taskctl plan` shows how, `taskctl deploy` undoes it",
        ));
    }
    if let (Some(live), Some(page)) = (&status.endpoints.live, &status.endpoints.site) {
        findings.extend(origin(live, page).await);
    }
    if findings.is_empty() {
        findings.push(Finding::good(
            "stage",
            "no denied calls, throttling, timeouts or firing alarms in the last hour",
        ));
    }
    findings
}

/// What `status` complains about.
fn complained(complaint: String, status: &Status) -> Finding {
    let fix = match complaint.as_str() {
        ABANDONED => status.canary_advice(),
        alarm if alarm.starts_with("alarm ") => "`taskctl alarms` says what it watches and what to do",
        _ => "`taskctl status` shows the stage",
    };
    Finding {
        check: "stage",
        verdict: Verdict::Bad,
        fix: Some(fix.to_owned()),
        found: complaint,
    }
}

/// A symptom as people read it: times by their clock.
fn finding(symptom: Symptom, now: Timestamp) -> Finding {
    let verdict = if symptom.is_wrong() {
        Verdict::Bad
    } else {
        Verdict::Attention
    };
    let mut found = symptom.found;
    if let Some(Seen { count, last, repaired }) = symptom.seen {
        let times = match count {
            1 => "once".to_owned(),
            count => format!("{count} times"),
        };
        found.push_str(&format!(
            ", {times} in the last hour, last at {}",
            minute_with_zone(last, now)
        ));
        match repaired {
            Some(Repaired::Changed(at)) => {
                found.push_str(&format!("; not since the last change at {}", minute_with_zone(at, now)));
            }
            Some(Repaired::Allowed) => found.push_str("; its role allows it now"),
            None => {}
        }
    }
    Finding {
        check: symptom.kind,
        verdict,
        found,
        fix: Some(symptom.fix),
    }
}

/// Before its first deploy a stage may be absent; one that is deployed elsewhere is looked for in the wrong place.
fn absent(absent: &NotDeployed) -> Finding {
    match absent.elsewhere.is_empty() {
        true => Finding::attention("stage", absent.to_string(), absent.hint()),
        false => Finding {
            verdict: Verdict::Bad,
            ..Finding::attention("stage", absent.to_string(), absent.hint())
        },
    }
}

/// Whether the API lets the pages of the stack's own site call it.
async fn origin(live: &str, page: &str) -> Option<Finding> {
    const CHECK: &str = "cors";
    let origin = page.trim_end_matches('/').to_owned();
    match allowed_origin(&format!("{live}/health"), &origin, "GET").await {
        Ok(Some(allowed)) if allowed == "*" || allowed == origin => None,
        Ok(_) => Some(Finding {
            check: CHECK,
            verdict: Verdict::Bad,
            found: format!("browsers block requests from the site's own pages ({origin})"),
            fix: Some("`taskctl plan` shows the drift, `taskctl deploy` corrects it".to_owned()),
        }),
        Err(error) => Some(Finding {
            check: CHECK,
            verdict: Verdict::Bad,
            found: format!("live does not respond: {error}"),
            fix: Some("`taskctl status` shows its URL and release".to_owned()),
        }),
    }
}

async fn toolchain(cargo: &Path) -> Finding {
    const CHECK: &str = "toolchain";
    match first_line(cargo, &["--version"]).await {
        Some(version) => Finding::good(CHECK, version),
        None => Finding::bad(
            CHECK,
            &ErrorReport {
                message: format!("{} cannot be run", cargo.display()),
                causes: Vec::new(),
                hint: Some("install Rust: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh".to_owned()),
            },
        ),
    }
}

/// Whether the functions of the template could be built.
async fn functions(session: &Session, project: Option<&Project>) -> Option<Finding> {
    const CHECK: &str = "functions";
    let project = project?;
    let args = BuildArgs {
        handlers: None,
        release: false,
    };
    let CodeSource::Build(request) = CodeSource::build(project, &args, session.target.destination(), &session.env)
    else {
        return None;
    };
    Some(match preflight(&request).await {
        Ok(packages) if packages.is_empty() => {
            Finding::good(CHECK, format!("{}, none of them built here", request.functions.len()))
        }
        Ok(packages) => Finding::good(CHECK, format!("{} in {}", request.functions.len(), packages.join(", "))),
        Err(error) => Finding::bad(CHECK, &ErrorReport::new(&error, error.hint())),
    })
}

/// The AWS identity. The local target needs none.
async fn account(session: &Session, project: Option<&Project>) -> Option<Finding> {
    const CHECK: &str = "credentials";
    let Target::Aws = session.target else { return None };
    let stack = &project?.template.stack;
    let stack_ref = StackRef::of(stack);
    Some(match session.connect_quietly(&stack_ref).await {
        Ok(engine) => {
            let identity = engine.context().identity();
            Finding::good(CHECK, format!("account {} in {}", identity.account, identity.region))
        }
        Err(failure) => {
            let mut finding = Finding::failed(CHECK, &failure);
            let fix = finding.fix.as_deref().unwrap_or("check the network");
            finding.fix = Some(joined_advice([fix, "to work without an account, add --local"]));
            finding
        }
    })
}

/// Python, for the local target.
async fn python(options: &LocalOptions) -> Finding {
    const CHECK: &str = "python";
    const PROGRAM: &str =
        "import sys, venv, ensurepip; print('%d.%d.%d' % sys.version_info[:3]); sys.exit(sys.version_info < (3, 10))";
    let python = options.python.clone().unwrap_or_else(|| "python3".into());
    match first_line(&python, &["-c", PROGRAM]).await {
        Some(version) => Finding::good(CHECK, format!("{version}, with venv")),
        None => Finding::attention(
            CHECK,
            format!("{} is missing, older than 3.10, or has no venv", python.display()),
            "only --local needs it (Debian, Ubuntu: sudo apt install python3 python3-venv; macOS: brew install python3)",
        ),
    }
}

/// The local target, or its ports while it does not run.
async fn local(options: &LocalOptions) -> Finding {
    const CHECK: &str = "local";
    let status = taskctl_local::status(options).await;
    match status.state {
        LocalState::Running | LocalState::Starting => {
            return Finding::good(CHECK, format!("running at {}", status.endpoint_url));
        }
        LocalState::Degraded | LocalState::NotAnswering => {
            return Finding::attention(
                CHECK,
                "running, but a component is down",
                "see `taskctl local status`; `taskctl local down` stops it",
            );
        }
        LocalState::Stopped => {}
    }
    let is_taken = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_err();
    let shown = |ports: &[u16]| ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" and ");
    let asked: Vec<u16> = [options.asked.endpoint, options.asked.websites]
        .into_iter()
        .flatten()
        .collect();
    let refused: Vec<u16> = asked.into_iter().filter(is_taken).collect();
    if !refused.is_empty() {
        return Finding::attention(
            CHECK,
            format!("port {} is in use by another program", shown(&refused)),
            "stop that program, or use other ports: --local-port PORT, --local-website-port PORT",
        );
    }
    let ports = options.ports();
    let taken: Vec<u16> = [ports.endpoint, ports.websites].into_iter().filter(is_taken).collect();
    Finding::good(
        CHECK,
        match taken.is_empty() {
            true => format!(
                "not running; ports {} are free",
                shown(&[ports.endpoint, ports.websites])
            ),
            false => format!("not running; port {} is taken, so it starts on another", shown(&taken)),
        },
    )
}

/// Room for a build.
fn disk(directory: &Path) -> Finding {
    const CHECK: &str = "disk";
    const ENOUGH: u64 = 4 << 30;
    const TOO_LITTLE: u64 = 300 << 20;
    let Ok(stat) = rustix::fs::statvfs(directory) else {
        return Finding::attention(
            CHECK,
            format!("free space of {} cannot be read", directory.display()),
            "check that the directory exists",
        );
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let found = format!("{} free", size(free));
    let fix = "free some disk space: building the functions takes about 2 GiB, the local target 150 MB";
    match free {
        ENOUGH.. => Finding::good(CHECK, found),
        TOO_LITTLE.. => Finding::attention(CHECK, found, fix),
        _ => Finding {
            check: CHECK,
            verdict: Verdict::Bad,
            found,
            fix: Some(fix.to_owned()),
        },
    }
}

/// The first line that a program prints; none when it fails.
async fn first_line(program: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output
        .status
        .success()
        .then(|| text.lines().next().unwrap_or_default().to_owned())
}

fn render(findings: &[Finding], style: &Style) -> String {
    let mut out = String::new();
    for finding in findings {
        let (tone, mark) = match finding.verdict {
            Verdict::Good => (Tone::Good, "ok   "),
            Verdict::Attention => (Tone::Warn, "note "),
            Verdict::Bad => (Tone::Bad, "wrong"),
        };
        let found = fill(&plain(&finding.found), style.width.saturating_sub(20));
        for (index, line) in found.iter().enumerate() {
            out.push_str(&match index {
                0 => format!("{}  {:<12} {line}\n", style.paint(tone, mark), finding.check),
                _ => format!("{:20}{line}\n", ""),
            });
        }
        for line in finding
            .fix
            .iter()
            .flat_map(|fix| wrap(fix, style.width.saturating_sub(20)))
        {
            out.push_str(&format!("{:20}{line}\n", ""));
        }
    }
    let wrong = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Bad)
        .count();
    out.push_str(&match wrong {
        0 => format!("\n{}\n", style.paint(Tone::Good, "All checks passed.")),
        wrong => format!(
            "\n{}\n",
            style.paint(Tone::Bad, &format!("{wrong} of {} checks failed.", findings.len()))
        ),
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::tests::assert_same_stack;
    use crate::ui::style::screens;

    #[test]
    fn advice_is_about_the_stage_that_was_examined() {
        let status = |silent: i64| {
            let status = serde_json::json!({
                "app": "shop", "stage": "prod", "region": "eu-west-1", "account": "123456789012",
                "endpoints": {"live": null, "preview": null, "site": null}, "live": null, "preview": null,
                "functions": [], "alarms": [], "last_release": null, "last_move": null,
                "lock": {
                    "user": "ada", "host": "build-7", "command": "taskctl promote", "since": "2026-03-01T12:03:00Z",
                    "silent_seconds": silent,
                },
            });
            serde_json::from_value::<Status>(status).unwrap_or_else(|error| panic!("{error}"))
        };
        let told = |told: &[&str], finding: &Finding| {
            assert_same_stack(told, |hint| {
                let mut findings = [finding.clone()];
                complete(&mut findings, hint);
                render(&findings, &Style::PLAIN)
            });
        };
        let complained = |complaint: &str, silent| complained(complaint.to_owned(), &status(silent));
        told(&["alarms"], &complained("alarm shop-prod-errors is red", 4));
        told(&["status"], &complained("live serves no release", 4));
        told(&["unlock", "promote"], &complained(ABANDONED, 72));
        told(&["promote"], &complained(ABANDONED, 100));
        // It works on the machine, whatever the stage.
        let advice = "see `taskctl local status`; `taskctl plan` shows it";
        let mut findings = [Finding::attention("local", "down", advice)];
        let hint = CommandHint {
            flags: " --local --stage prod".to_owned(),
            again: String::new(),
        };
        complete(&mut findings, &hint);
        assert_eq!(
            findings[0].fix.as_deref(),
            Some("see `taskctl local status`; `taskctl plan --local --stage prod` shows it")
        );
    }

    #[test]
    fn an_account_without_public_buckets_has_no_public_site() {
        let account = |limit| Concurrency {
            limit,
            unreserved: limit,
        };
        let few = new_account(account(10)).expect("ten are few");
        assert!(few.verdict == Verdict::Attention && few.found.contains("runs 10 invocations at once"));
        assert_eq!(new_account(account(1_000)), None);
        assert_eq!(closed_account(PublicAccessBlock::NONE), None);
        let restricted = PublicAccessBlock {
            restrict_public_buckets: true,
            ..PublicAccessBlock::NONE
        };
        let finding = closed_account(restricted).expect("it is closed");
        assert_eq!(finding.verdict, Verdict::Bad);
        assert!(
            finding
                .fix
                .is_some_and(|fix| fix.contains("Block Public Access settings for this account"))
        );
    }

    #[test]
    fn findings_say_what_to_do() {
        let at = |text: &str| text.parse().unwrap_or(Timestamp::UNIX_EPOCH);
        let denied = |repaired| {
            let symptom = Symptom {
                kind: "denied",
                found: "function users may not dynamodb:PutItem on arn:aws:dynamodb:eu-central-1:1:table/users"
                    .to_owned(),
                seen: Some(Seen {
                    count: 21,
                    last: at("2026-03-01T11:44:00Z"),
                    repaired,
                }),
                fix: "`taskctl plan` shows what is not as it was deployed, `taskctl deploy` restores it".to_owned(),
                hurts: true,
            };
            finding(symptom, at("2026-03-01T12:00:00Z"))
        };
        let findings = [
            Finding::good("toolchain", "cargo 1.95.0"),
            Finding::attention("python", "python3 is missing", "only --local needs it"),
            Finding::bad(
                "credentials",
                &ErrorReport {
                    message: "none".to_owned(),
                    causes: vec!["why".to_owned()],
                    hint: Some("aws sso login".to_owned()),
                },
            ),
            denied(None),
            denied(Some(Repaired::Changed(at("2026-03-01T11:45:00Z")))),
        ];
        screens("doctor", |style| render(&findings, style));
    }
}
