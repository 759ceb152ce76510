//! Several failures as one error.
//! Tasks that fail together leave more than one error, and none of them is the cause of the others. So they are kept side
//! by side, and a group within a group makes a tree:
//!
//! ```text
//!   3 failures                          split::<Timeout>() ──► 1 failure          and ──► 2 failures
//!   ├─ connection refused                                      └─ 1 failure               ├─ connection refused
//!   ├─ disk full                                                  └─ timed out            └─ disk full
//!   └─ 1 failure
//!      └─ timed out
//! ```
//!
//! Next: `task_group`, which makes them.

use std::error::Error;
use std::fmt;

/// An error of any type that may travel.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// What failed in a [`group`](crate::group()), in the order in which it failed: errors of its children and of its
/// body, a panic as a [`JoinError`](crate::JoinError), and the `ErrorGroup` of a group further in. Cancellations are not
/// in it. It is never empty.
///
/// ```
/// # use windlass_executor::{ErrorGroup, cancel::catch, group};
/// # windlass_executor::doc(async {
/// let failed: ErrorGroup = group(async |g| {
///     g.spawn(async {
///         let _asked_to_stop = catch(std::future::pending::<()>()).await;
///         Err::<(), _>("no more oil")
///     })?;
///     g.spawn(async { "7 up".parse::<u32>().map(drop) }).map(drop)
/// })
/// .await
/// .unwrap_err();
/// assert_eq!(failed.to_string(), "2 failures\n├─ invalid digit found in string\n└─ no more oil");
/// # });
/// ```
#[derive(Debug)]
pub struct ErrorGroup {
    errors: Vec<BoxError>,
}

impl ErrorGroup {
    /// None of no errors.
    pub(crate) fn of(errors: Vec<BoxError>) -> Option<Self> {
        (!errors.is_empty()).then_some(ErrorGroup { errors })
    }

    /// The failures; those of a group further in stand in one of its own.
    ///
    /// ```
    /// # use windlass_executor::{JoinError, group};
    /// # windlass_executor::doc(async {
    /// let failed = group(async |g| g.spawn(async { assert!(1 > 2, "it slipped") }).map(drop)).await.unwrap_err();
    /// assert!(failed.errors()[0].downcast_ref::<JoinError>().unwrap().is_panic());
    /// # });
    /// ```
    pub fn errors(&self) -> &[Box<dyn Error + Send + Sync>] {
        &self.errors
    }

    /// As [`errors`](ErrorGroup::errors), by value.
    ///
    /// ```
    /// # use windlass_executor::group;
    /// # windlass_executor::doc(async {
    /// let failed = group(async |_| Err::<(), _>(std::fmt::Error)).await.unwrap_err();
    /// let only = failed.into_errors().pop().unwrap();
    /// assert!(only.downcast::<std::fmt::Error>().is_ok());
    /// # });
    /// ```
    pub fn into_errors(self) -> Vec<Box<dyn Error + Send + Sync>> {
        self.errors
    }

    /// The failures of type `E`, and the others; both keep the shape of the tree.
    ///
    /// ```
    /// # use std::num::ParseIntError;
    /// # use windlass_executor::{cancel::catch, group};
    /// # windlass_executor::doc(async {
    /// let failed = group(async |g| {
    ///     g.spawn(async {
    ///         let _asked_to_stop = catch(std::future::pending::<()>()).await;
    ///         Err::<(), _>("no more oil")
    ///     })?;
    ///     g.spawn(async { "7 up".parse::<u32>().map(drop) }).map(drop)
    /// });
    /// let (parse, others) = failed.await.unwrap_err().split::<ParseIntError>();
    /// assert_eq!(parse.unwrap().to_string(), "1 failure\n└─ invalid digit found in string");
    /// assert_eq!(others.unwrap().to_string(), "1 failure\n└─ no more oil");
    /// # });
    /// ```
    pub fn split<E: Error + 'static>(self) -> (Option<ErrorGroup>, Option<ErrorGroup>) {
        let (mut of_type, mut others) = (Vec::new(), Vec::new());
        for error in self.errors {
            if error.is::<E>() {
                of_type.push(error);
                continue;
            }
            match error.downcast::<ErrorGroup>() {
                Ok(inner) => {
                    let (inner_of_type, inner_others) = inner.split::<E>();
                    of_type.extend(inner_of_type.map(BoxError::from));
                    others.extend(inner_others.map(BoxError::from));
                }
                Err(error) => others.push(error),
            }
        }
        (ErrorGroup::of(of_type), ErrorGroup::of(others))
    }

    /// The failures of type `E` alone, in the shape of the tree.
    ///
    /// ```
    /// # use windlass_executor::group;
    /// # windlass_executor::doc(async {
    /// let failed = group(async |_| Err::<(), _>(std::fmt::Error)).await.unwrap_err();
    /// assert!(failed.subgroup::<std::io::Error>().is_none());
    /// # });
    /// ```
    pub fn subgroup<E: Error + 'static>(self) -> Option<ErrorGroup> {
        self.split::<E>().0
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, margin: &str) -> fmt::Result {
        match self.errors.len() {
            1 => write!(f, "1 failure")?,
            n => write!(f, "{n} failures")?,
        }
        for (i, error) in self.errors.iter().enumerate() {
            let (branch, below) = if i + 1 == self.errors.len() { ("└─", "   ") } else { ("├─", "│  ") };
            write!(f, "\n{margin}{branch} ")?;
            let below = format!("{margin}{below}");
            match error.downcast_ref::<ErrorGroup>() {
                Some(inner) => inner.write(f, &below)?,
                None => write!(f, "{}", error.to_string().replace('\n', &format!("\n{below}")))?,
            }
        }
        Ok(())
    }
}

/// The tree, a line for each failure.
impl fmt::Display for ErrorGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, "")
    }
}

impl Error for ErrorGroup {}
