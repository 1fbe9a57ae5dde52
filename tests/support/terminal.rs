//! A command at a terminal, as a person runs it: it asks, and is answered.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::local::Run;

/// How long a person waits for a prompt.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command whose input and output are a terminal.
pub struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    shown: String,
}

impl Terminal {
    /// Starts a command.
    ///
    /// # Panics
    /// When there is no terminal, or the command does not start.
    pub(crate) fn run(command: &mut Command) -> Self {
        match Self::start(command) {
            Ok(terminal) => terminal,
            Err(error) => panic!("no terminal for {command:?}: {error}"),
        }
    }

    fn start(command: &mut Command) -> std::io::Result<Self> {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&terminal)?;
        unlockpt(&terminal)?;
        let path = ptsname(&terminal, Vec::new())?;
        let path = path.to_string_lossy().into_owned();
        let side = || File::options().read(true).write(true).open(&path).map(Stdio::from);
        let child = command
            .env("TERM", "xterm")
            .env("COLUMNS", "200")
            .stdin(side()?)
            .stdout(side()?)
            .stderr(side()?)
            .spawn()?;
        // The command keeps its own copies of the terminal: what is kept here would keep the screen from ending.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let keyboard = File::from(terminal);
        let mut reader = keyboard.try_clone()?;
        let (sender, screen) = channel();
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
            screen,
            shown: String::new(),
        })
    }

    /// Waits until a text is shown.
    ///
    /// # Panics
    /// When it is not.
    pub fn wait_for(&mut self, text: &str) {
        let began = Instant::now();
        while !self.shown.contains(text) {
            match self.screen.recv_timeout(PATIENCE.saturating_sub(began.elapsed())) {
                Ok(block) => self.shown.push_str(&String::from_utf8_lossy(&block)),
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
        while let Ok(block) = self.screen.recv() {
            self.shown.push_str(&String::from_utf8_lossy(&block));
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

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
