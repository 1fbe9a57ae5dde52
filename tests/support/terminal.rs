//! A command at a terminal, as a person runs it: it asks, and is answered; what it draws is read from the screen.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::local::Run;

/// How long a person waits for a prompt.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rows of a terminal.
const ROWS: u16 = 24;
/// Rows that are kept when they have scrolled away.
const SCROLLBACK: usize = 10_000;

/// A command whose input and output are a terminal.
pub struct Terminal {
    child: Child,
    keyboard: File,
    output: Receiver<Vec<u8>>,
    shown: String,
    screen: vt100::Parser,
}

impl Terminal {
    /// Starts a command.
    ///
    /// # Panics
    /// When there is no terminal, or the command does not start.
    pub(crate) fn run(command: &mut Command, columns: u16) -> Self {
        match Self::start(command, columns) {
            Ok(terminal) => terminal,
            Err(error) => panic!("no terminal for {command:?}: {error}"),
        }
    }

    fn start(command: &mut Command, columns: u16) -> std::io::Result<Self> {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&terminal)?;
        unlockpt(&terminal)?;
        tcsetwinsize(&terminal, size(columns))?;
        let path = ptsname(&terminal, Vec::new())?;
        let path = path.to_string_lossy().into_owned();
        let side = || File::options().read(true).write(true).open(&path).map(Stdio::from);
        let child = command
            .env("TERM", "xterm")
            .env_remove("COLUMNS")
            .stdin(side()?)
            .stdout(side()?)
            .stderr(side()?)
            .spawn()?;
        // The command keeps its own copies of the terminal: what is kept here would keep the screen from ending.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let keyboard = File::from(terminal);
        let mut reader = keyboard.try_clone()?;
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut block = [0; 4096];
            // When the other side has gone, reading is an error.
            while let Ok(count @ 1..) = reader.read(&mut block) {
                if sender.send(block[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            keyboard,
            output,
            shown: String::new(),
            screen: vt100::Parser::new(ROWS, columns, SCROLLBACK),
        })
    }

    fn show(&mut self, block: &[u8]) {
        self.shown.push_str(&String::from_utf8_lossy(block));
        self.screen.process(block);
    }

    /// The window gets another width, as when a person drags its border.
    ///
    /// # Panics
    /// When the terminal cannot be resized.
    pub fn resize(&mut self, columns: u16) {
        self.screen.screen_mut().set_size(ROWS, columns);
        if let Err(error) = tcsetwinsize(&self.keyboard, size(columns)) {
            panic!("the terminal cannot be resized: {error}");
        }
    }

    /// Waits for the end. What can be read on the screen then, and by scrolling back.
    ///
    /// # Panics
    /// When the command cannot be waited for.
    pub fn end_on_screen(mut self) -> (i32, Vec<String>) {
        while let Ok(block) = self.output.recv() {
            self.show(&block);
        }
        let code = match self.child.wait() {
            Ok(status) => status.code().unwrap_or(-1),
            Err(error) => panic!("the command cannot be waited for: {error}"),
        };
        let screen = self.screen.screen_mut();
        screen.set_scrollback(SCROLLBACK);
        let (_, columns) = screen.size();
        let mut lines = Vec::new();
        for back in (0..=screen.scrollback()).rev() {
            screen.set_scrollback(back);
            match back {
                0 => lines.extend(screen.rows(0, columns)),
                _ => lines.extend(screen.rows(0, columns).next()),
            }
        }
        (code, lines)
    }

    /// Waits until a text is shown.
    ///
    /// # Panics
    /// When it is not.
    pub fn wait_for(&mut self, text: &str) {
        let began = Instant::now();
        while !self.shown.contains(text) {
            match self.output.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
                Ok(block) => self.show(&block),
                Err(_) => panic!("{text:?} was not shown:\n{}", self.shown),
            }
        }
    }

    /// Types a line.
    ///
    /// # Panics
    /// When nobody reads it.
    pub fn type_line(&mut self, line: &str) {
        if let Err(error) = writeln!(self.keyboard, "{line}") {
            panic!("{line:?} cannot be typed: {error}");
        }
    }

    /// Waits for the end. Everything that was shown is in `err`.
    ///
    /// # Panics
    /// When the command cannot be waited for.
    pub fn end(mut self) -> Run {
        while let Ok(block) = self.output.recv() {
            self.show(&block);
        }
        match self.child.wait() {
            Ok(status) => Run {
                code: status.code().unwrap_or(-1),
                out: String::new(),
                err: std::mem::take(&mut self.shown),
            },
            Err(error) => panic!("the command cannot be waited for: {error}"),
        }
    }
}

fn size(columns: u16) -> Winsize {
    Winsize {
        ws_row: ROWS,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
