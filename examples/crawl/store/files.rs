//! Files that grow, and are cut where a transaction says.
//!
//! ```text
//!     committed ────────────────┐ written since then
//!     {"url":…}⏎{"url":…}⏎{"url"│:…}⏎{"u
//!                               └ a resume begins here
//! ```
//!
//! A file and a ledger cannot be written in one step. So bytes go to the file first and its length into the ledger's
//! transaction; what a killed process has written beyond that is cut off, and written once more.
//! Not here: who remembers the lengths (`ledger`).   Next: `disk`.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::Trouble;

/// Which file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    /// A line for each page.
    Lines,
    /// Whatever else a page's end brings.
    Extra,
}

/// How sure it is to be that something is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// It outlives the machine's power.
    ToDisk,
    /// It outlives the process.
    Never,
}

/// The files of a crawl; those that nobody asked for take nothing.
#[derive(Debug)]
pub(crate) struct Files([Option<Appended>; 2]);

#[derive(Debug)]
struct Appended {
    path: PathBuf,
    to: To,
    len: u64,
}

#[derive(Debug)]
enum To {
    File(BufWriter<File>),
    /// It cannot be cut, and is for one run alone.
    Stdout(io::Stdout),
}

impl Files {
    /// Opens them, `-` being stdout, and cuts each to its length; one that is not there is made if its length is 0.
    ///
    /// # Errors
    /// `Usage` if one is shorter than that: it is another file. `System` if one cannot be opened.
    pub(crate) fn open(paths: [Option<&Path>; 2], lens: [u64; 2]) -> Result<Self, Trouble> {
        let [lines, extra] = paths;
        let open = |path: Option<&Path>, len| path.map(|path| Appended::open(path, len)).transpose();
        Ok(Self([open(lines, lens[0])?, open(extra, lens[1])?]))
    }

    pub(crate) fn takes(&self, which: Which) -> bool {
        self.0[which as usize].is_some()
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// Those of the disk, with the file's name.
    pub(crate) fn append(&mut self, which: Which, bytes: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.0[which as usize] else { return Ok(()) };
        let written = match &mut file.to {
            To::File(to) => to.write_all(bytes),
            To::Stdout(to) => to.write_all(bytes),
        };
        file.len += bytes.len() as u64;
        written.map_err(|error| named(&file.path, &error))
    }

    /// Has what was appended in the files. How long they are then.
    ///
    /// # Errors
    /// Those of the disk, with the file's name.
    pub(crate) fn sync(&mut self, sync: Sync) -> io::Result<[u64; 2]> {
        for file in self.0.iter_mut().flatten() {
            let synced = match &mut file.to {
                To::File(to) => to.flush().and_then(|()| match to.get_ref().metadata()?.is_file() {
                    true if sync == Sync::ToDisk => to.get_ref().sync_data(),
                    _ => Ok(()), // a pipe, /dev/null
                }),
                To::Stdout(to) => to.flush(),
            };
            synced.map_err(|error| named(&file.path, &error))?;
        }
        Ok(self.0.each_ref().map(|file| file.as_ref().map_or(0, |file| file.len)))
    }
}

impl Appended {
    fn open(path: &Path, len: u64) -> Result<Self, Trouble> {
        if path == Path::new("-") {
            return Ok(Self { path: "stdout".into(), to: To::Stdout(io::stdout()), len: 0 });
        }
        let open = || {
            let mut file = OpenOptions::new().write(true).create(len == 0).truncate(false).open(path)?;
            let has = file.metadata()?;
            if has.is_file() && has.len() >= len {
                file.set_len(len)?;
                file.seek(SeekFrom::Start(len))?;
            }
            Ok((file, has.len()))
        };
        let (file, has) = open().map_err(|error| named(path, &error))?;
        if has < len {
            let path = path.display();
            return Err(Trouble::Usage(format!("{path}: it has {has} bytes, and the state knows of {len}")));
        }
        Ok(Self { path: path.to_owned(), to: To::File(BufWriter::with_capacity(64 * 1024, file)), len })
    }
}

/// An error with the file that it is about.
pub(crate) fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
