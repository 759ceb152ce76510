//! The disk itself.
//!
//! ```text
//!     --state FOLDER ──► FOLDER/crawl.redb, locked; what is committed is waited for
//!     without        ──► a file without a name, which is gone when the process is; nothing is waited for
//! ```
//!
//! Not here: what is in it (`ledger`, `queue`).   Next: `crawl`.

use std::{
    env,
    fs::{self, File, OpenOptions},
    io::{self, Read},
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use redb::{Builder, Database, DatabaseError, StorageBackend, StorageError, backends::FileBackend};

use super::{
    Trouble,
    files::{Sync, named},
};

/// How much of the tables is kept in memory. A crawl that is new finds what it needs near; what is older is in the kernel's
/// cache, some microseconds away.
const CACHE: usize = 16 << 20;

/// Opens a database, or makes it.
pub(super) fn database(path: &Path, sync: Sync) -> Result<Database, Trouble> {
    let open = || OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = open().map_err(|error| named(path, &error))?;
    match made_in(file.try_clone()?, sync) {
        Err(DatabaseError::DatabaseAlreadyOpen) => {
            Err(Trouble::Usage(format!("{}: another process has it open", path.display())))
        }
        Err(DatabaseError::Storage(StorageError::Io(error))) if error.kind() == io::ErrorKind::InvalidData => {
            // Its first bytes are written last: a process that was killed while it made the file has left none.
            let mut first = Vec::new();
            (&file).take(9).read_to_end(&mut first)?;
            if first.iter().any(|byte| *byte != 0) {
                return Err(Trouble::Usage(format!("{}: it is no state of a crawl", path.display())));
            }
            file.set_len(0)?;
            made_in(file, sync).map_err(|error| Trouble::System(failed(error)))
        }
        made => made.map_err(|error| Trouble::System(named(path, &plain(error)))),
    }
}

/// A database that nobody else can see, and nobody needs to clear away.
pub(super) fn temporary() -> Result<Database, Trouble> {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let nth = MADE.fetch_add(1, Ordering::Relaxed);
    let path = env::temp_dir().join(format!("windlass-crawl-{}-{nth}", std::process::id()));
    let open = || OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    let file = open().map_err(|error| named(&path, &error))?;
    fs::remove_file(&path).map_err(|error| named(&path, &error))?;
    made_in(file, Sync::Never).map_err(|error| Trouble::System(failed(error)))
}

fn made_in(file: File, sync: Sync) -> Result<Database, DatabaseError> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE).create_with_file_format_v3(true);
    let file = FileBackend::new(file)?;
    match sync {
        Sync::ToDisk => builder.create_with_backend(file),
        Sync::Never => builder.create_with_backend(Unsynced(file)),
    }
}

/// A file that is not waited for.
#[derive(Debug)]
struct Unsynced(FileBackend);

impl StorageBackend for Unsynced {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.0.read(offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self, _eventual: bool) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

/// What a database says, in one type. Where it is nobody needs to be told: there is one.
pub(super) fn failed(error: impl Into<redb::Error>) -> io::Error {
    let error = plain(error);
    io::Error::new(error.kind(), format!("the state of the crawl: {error}"))
}

fn plain(error: impl Into<redb::Error>) -> io::Error {
    match error.into() {
        redb::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}
