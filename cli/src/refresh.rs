//! A screen that is refreshed until Ctrl-C.

use std::time::Duration;

use crate::cli::Output;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::report::Screen;
use crate::session::Session;
use crate::ui::style::{Motion, Tone};
use crate::ui::text::{cut, plain};

/// Fetches and shows a screen at an interval: in place on a terminal, elsewhere one after the other. A later failure to fetch
/// is shown below the last screen; the first fetch must succeed.
pub async fn refresh(
    session: &Session,
    every: Duration,
    mut fetch: impl AsyncFnMut() -> Result<String, Failure>,
) -> Result<Exit, Failure> {
    session.end_when_unread();
    let in_place = session.env.out.motion == Motion::Live && session.global.output == Output::Human;
    let mut last = session.unless_stopped(fetch()).await??;
    let mut trouble = None;
    if in_place {
        session.reporter.draw(Screen::Enter);
    }
    loop {
        if in_place {
            session
                .reporter
                .draw(Screen::Show(screen(session, &last, trouble.as_deref())));
        } else if trouble.is_none() {
            session.reporter.answer(last.clone());
        }
        if session.unless_stopped(tokio::time::sleep(every)).await.is_err() {
            break;
        }
        match session.unless_stopped(fetch()).await {
            Ok(Ok(text)) => (last, trouble) = (text, None),
            Ok(Err(failure)) => trouble = Some(failure.summary()),
            Err(_) => break,
        }
    }
    if in_place {
        // The last screen stays.
        session.reporter.draw(Screen::Leave);
        session.reporter.answer(last);
    }
    Ok(Exit::Interrupted)
}

/// The lines that fit into the terminal.
fn screen(session: &Session, text: &str, trouble: Option<&str>) -> Vec<String> {
    let style = &session.env.out;
    // The window may have become smaller.
    let (height, width) = console::Term::stdout().size();
    let height = usize::from(height).max(4) - 1;
    let width = style.width.min(usize::from(width));
    let mut lines: Vec<String> = text.lines().map(|line| cut(line, width)).collect();
    if lines.len() > height - 1 {
        let more = lines.len() - (height - 2);
        lines.truncate(height - 2);
        lines.push(style.paint(Tone::Faint, &format!("… {more} more lines; enlarge the terminal")));
    }
    lines.push(match trouble {
        Some(trouble) => style.paint(Tone::Bad, &cut(&format!("refresh failed: {}", plain(trouble)), width)),
        None => style.paint(Tone::Faint, "Ctrl-C to quit"),
    });
    lines
}
