# Shortcuts for people who work on taskctl. `just` lists them.

default:
    @just --list

# Everything CI checks.
ci:
    .ci/run

# Unit tests of one crate.
test crate:
    cargo test -p {{crate}}

# Snapshots that changed.
review:
    cargo insta review

# The stack on this machine.
up:
    cargo run -- deploy --local -f platform

# Figures in docs/performance.md.
bench:
    python3 tests/bench/stack.py

# Clients that people use, against the local target.
clients:
    cargo build -p taskctl
    python3 tests/clients/run.py target/debug/taskctl

# What only an account of AWS can settle: needs credentials and an empty region; prints its cost, then asks for the account.
aws-conformance:
    cargo test --workspace --test integration -- --ignored --nocapture --exact aws::an_account_answers

# Every template, deployed and released from a project of its own.
templates:
    cargo test --workspace --test integration -- --ignored --nocapture --exact walk::every_template_makes_a_project_that_is_deployed_and_released

# What takes long: every crash point, and live moved fifty times under load.
soak:
    TASKCTL_TEST_ALL_POINTS=1 TASKCTL_TEST_ROUNDS=10 cargo test --workspace --test integration -- crashes:: zero_loss::
