//! Where bytes go.
//!
//! ```text
//!     head ──┬── -D: a file or stdout          body ──► -o: a file, or stdout
//!            ├── -i, -I: where the body goes
//!            └── -v: stderr, line by line
//! ```
//!
//! What was written has left the program: nothing is buffered here, so that whatever ends it, a file has what came. A file
//! is made with its first byte, or at the end of an answer that was empty; not for one that failed before. That of -D is
//! there from the beginning.
//! Next: `write_out`.

use std::{
    fs::File,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    path::PathBuf,
};

use crate::{asked::Request, engine::Head, failure::Failure, flags::Flags};

/// A file, perhaps not yet made, or stdout.
#[derive(Debug)]
pub(crate) enum Target {
    Stdout,
    File { path: PathBuf, file: Option<File> },
}

impl Target {
    /// `-` and nothing are stdout.
    pub(crate) fn new(path: Option<&PathBuf>) -> Self {
        match path.filter(|path| path.as_os_str() != "-") {
            None => Target::Stdout,
            Some(path) => Target::File { path: path.clone(), file: None },
        }
    }

    fn open(&mut self) -> io::Result<&mut File> {
        match self {
            Target::File { file: Some(file), .. } => Ok(file),
            Target::File { path, file } => Ok(file.insert(File::create(path)?)),
            // Past std's buffer, which would keep what is behind the last line end.
            Target::Stdout => {
                let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
                *self = Target::File { path: PathBuf::new(), file: Some(file) };
                self.open()
            }
        }
    }

    /// # Errors
    /// Of curl's number 23.
    pub(crate) fn make(&mut self) -> Result<(), Failure> {
        self.open().map(drop).map_err(|error| Failure::write(&error))
    }

    /// # Errors
    /// Of curl's number 23.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.open().and_then(|file| file.write_all(bytes)).map_err(|error| Failure::write(&error))
    }
}

/// What is done with an answer.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    body: Target,
    dump: &'a mut Option<Target>,
    includes_heads: bool,
    is_verbose: bool,
    /// Whether somebody may want to see how far it is.
    pub(crate) shows_progress: bool,
}

impl<'a> Sink<'a> {
    pub(crate) fn new(flags: &Flags, path: Option<&PathBuf>, dump: &'a mut Option<Target>) -> Self {
        let body = Target::new(path);
        let is_seen = matches!(body, Target::Stdout) && io::stdout().is_terminal();
        Self {
            body,
            dump,
            includes_heads: flags.include || flags.head,
            is_verbose: flags.verbose,
            shows_progress: !flags.silent && !is_seen && io::stderr().is_terminal(),
        }
    }

    /// A request is about to be sent.
    pub(crate) fn goes_out(&self, request: &Request<'_>) {
        self.tell("> ", &request.head());
    }

    /// The head of an answer has come.
    pub(crate) fn comes_in(&mut self, head: &Head) -> Result<(), Failure> {
        self.tell("< ", &head.bytes);
        self.head_bytes(&head.bytes)
    }

    /// A piece of the body has come.
    pub(crate) fn body(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.body.write(bytes)
    }

    /// The lines behind the body have come.
    pub(crate) fn trailers(&mut self, lines: &[u8]) -> Result<(), Failure> {
        self.tell("< ", lines);
        self.head_bytes(lines)
    }

    /// All has come, if only nothing.
    pub(crate) fn ends(&mut self) -> Result<(), Failure> {
        self.body.make()
    }

    fn head_bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        // Line by line: both may be the same place.
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            if let Some(dump) = self.dump {
                dump.write(line)?;
            }
            if self.includes_heads {
                self.body.write(line)?;
            }
        }
        Ok(())
    }

    fn tell(&self, mark: &str, lines: &[u8]) {
        if !self.is_verbose {
            return;
        }
        let mut told = Vec::new();
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            told.extend_from_slice(mark.as_bytes());
            told.extend_from_slice(line);
        }
        let _ = io::stderr().write_all(&told); // nobody need read along
    }
}
