//! Bodies in JSON, by serde.
//!
//! ```text
//!   value ──► Body::json ──► request        response ──► Response::json ──► value
//! ```
//!
//! Next: `exchange`, `response`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::http::{Body, Error, ErrorKind, Request, Response};

impl Body {
    /// A value in JSON, of the type `application/json`.
    ///
    /// # Errors
    /// Of kind [`Other`](ErrorKind::Other) for what JSON cannot say, as a map whose keys are no strings.
    ///
    /// ```
    /// # use windlass_net::windlass;
    /// use windlass::http::Body;
    /// assert_eq!(Body::json(&[1, 2, 3])?.length(), Some(7));
    /// # Ok::<(), windlass_net::http::Error>(())
    /// ```
    pub fn json(value: &(impl Serialize + ?Sized)) -> Result<Body, Error> {
        let json = serde_json::to_vec(value);
        let json = json.map_err(|error| Error::new(ErrorKind::Other, "a body in json").with_source(error))?;
        Ok(Body::from(json).of_type("application/json"))
    }
}

impl Request<'_> {
    /// Gives it a value in JSON for its body: see [`Body::json`]. What JSON cannot say is refused by
    /// [`send`](Request::send).
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let heard = client.post(url).json(&["a", "b"]).send().await?.text().await?;
    /// let expected = "Content-Length: 9\r\nContent-Type: application/json\r\n\r\n[\"a\",\"b\"]";
    /// assert!(heard.ends_with(expected), "{heard}");
    /// # Ok(()) });
    /// ```
    pub fn json(self, value: &(impl Serialize + ?Sized)) -> Self {
        match Body::json(value) {
            Ok(body) => self.body(body),
            Err(error) => self.refused(error),
        }
    }
}

impl Response {
    /// The whole body, read as JSON, whatever its type says.
    ///
    /// # Errors
    /// As [`chunk`](Response::chunk); of kind [`Other`](ErrorKind::Other) for what is no JSON, or no `T`.
    ///
    /// ```
    /// # windlass_net::doc_http(async |client, url| {
    /// let url = url.with_query([("body", "[1,2]")])?; // a server that answers with this
    /// assert_eq!(client.get(&url).send().await?.json::<Vec<u32>>().await?, [1, 2]);
    /// # Ok(()) });
    /// ```
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, Error> {
        let url = self.url().clone();
        let body = self.bytes().await?;
        serde_json::from_slice(&body)
            .map_err(|error| Error::new(ErrorKind::Other, format!("json of {url}")).with_source(error))
    }
}
