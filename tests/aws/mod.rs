//! What only an account of AWS can settle: facts that its documentation leaves open, each as a probe that prints what AWS did, and
//! the guarantees, once. `just aws-conformance` runs it on an account; here it runs against the local target, so that it is known
//! to work.

mod probes;
mod sandbox;

use std::fmt::Write as _;
use std::time::Instant;

use sandbox::Sandbox;

/// Runs all probes, those named in TASKCTL_PROBES alone where it is set. Returns the report.
fn report(sandbox: &Sandbox) -> String {
    let wanted = std::env::var("TASKCTL_PROBES").unwrap_or_default();
    let wanted: Vec<&str> = wanted.split(',').filter(|name| !name.is_empty()).collect();
    let mut report = format!("taskctl {} on {}\n\n", env!("CARGO_PKG_VERSION"), sandbox.place());
    for probe in probes::ALL {
        if !wanted.is_empty() && !wanted.contains(&probe.name) {
            continue;
        }
        let began = Instant::now();
        let said = sandbox.runtime.block_on((probe.run)(sandbox));
        let (mark, text) = match said {
            Ok(text) => ("  ", text),
            Err(error) => ("! ", format!("could not be asked: {error}")),
        };
        let line = format!("{mark}{}: {text} ({:.0} s)", probe.name, began.elapsed().as_secs_f64());
        println!("{line}");
        let _ = writeln!(report, "{line}\n      asked because: {}", probe.because);
    }
    report
}

/// Each probe gets an answer, and the local target's are those that it documents.
#[test]
fn the_probes_work_on_the_local_target() {
    let sandbox = Sandbox::local();
    let report = report(&sandbox);
    sandbox.clean();
    assert!(!report.contains("\n! "), "{report}");
    for probe in probes::ALL {
        assert!(
            report.contains(&format!("\n  {}: ", probe.name)),
            "{}: {report}",
            probe.name
        );
    }
    assert!(report.contains("guarantees: all held"), "{report}");
}

/// On an account: `just aws-conformance`.
#[test]
#[ignore = "needs an account of AWS, and costs a few cents there"]
fn an_account_answers() {
    let sandbox = Sandbox::account();
    let report = report(&sandbox);
    let left = sandbox.clean();
    let path = taskctl_tests::repository().join("target/aws-conformance.txt");
    std::fs::write(&path, &report).unwrap();
    println!("\nThe report is in {}", path.display());
    assert!(left.is_empty(), "not deleted: {left:?}");
}
