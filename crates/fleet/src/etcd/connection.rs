//! One connection to one member: requests one after the other, or the stream of a watch.

use super::options::Endpoint;
use super::wire::{Refusal, Streamed};
use crate::Error;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use socket2::{SockRef, TcpKeepalive};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// A member that takes longer to answer is taken for gone.
const PATIENCE: Duration = Duration::from_secs(2);
/// Connections that say nothing are asked whether they are still there.
const ALIVE: Duration = Duration::from_secs(2);
/// The longest answer that is read: a whole fleet's policies, many times.
const LONGEST: usize = 256 << 20;
/// The number of gRPC for "who are you?".
const UNAUTHENTICATED: i64 = 16;

/// An open connection. Dropping it closes it.
#[derive(Debug)]
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
    host: String,
}

impl Connection {
    pub(super) async fn open(endpoint: &Endpoint) -> Result<Connection, Error> {
        let lost = |why: String| Error::Lost(format!("{}: {why}", endpoint.text));
        let opening = async {
            let stream = TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
            stream.set_nodelay(true)?;
            let alive = TcpKeepalive::new().with_time(ALIVE).with_interval(ALIVE).with_retries(3);
            SockRef::from(&stream).set_tcp_keepalive(&alive)?;
            std::io::Result::Ok(stream)
        };
        let late = |_| lost("no answer".into());
        let stream =
            timeout(PATIENCE, opening).await.map_err(late)?.map_err(|error| lost(error.to_string()))?;
        let host = match endpoint.host.contains(':') {
            true => format!("[{}]:{}", endpoint.host, endpoint.port),
            false => format!("{}:{}", endpoint.host, endpoint.port),
        };
        let Some((name, config)) = &endpoint.tls else { return Connection::over(stream, host, &lost).await };
        let connecting = TlsConnector::from(Arc::clone(config)).connect(name.clone(), stream);
        let stream = timeout(PATIENCE, connecting).await.map_err(late)?;
        Connection::over(stream.map_err(|error| lost(error.to_string()))?, host, &lost).await
    }

    async fn over<S>(stream: S, host: String, lost: &impl Fn(String) -> Error) -> Result<Connection, Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let connecting = http1::handshake(TokioIo::new(stream));
        let (sender, connection) = connecting.await.map_err(|error| lost(error.to_string()))?;
        let task = tokio::spawn(async move {
            // What went wrong is told to whoever waits for an answer.
            let _ = connection.await;
        });
        Ok(Connection { sender, task, host })
    }

    /// Asks and waits for the whole answer.
    pub(super) async fn ask<T>(&mut self, path: &str, body: &Value, token: Option<&str>) -> Result<T, Error>
    where
        T: DeserializeOwned,
    {
        let asking = async {
            let answer = self.send(path, body, token).await?;
            let status = answer.status();
            let bytes = Limited::new(answer.into_body(), LONGEST).collect().await;
            let bytes = bytes.map_err(|error| Error::Lost(error.to_string()))?.to_bytes();
            match status {
                StatusCode::OK => read(&bytes),
                status => Err(refusal(status, &bytes)),
            }
        };
        timeout(PATIENCE, asking).await.map_err(|_| Error::Lost(format!("{}: no answer", self.host)))?
    }

    /// Asks for something that goes on.
    pub(super) async fn watch(
        mut self,
        path: &str,
        body: &Value,
        token: Option<&str>,
    ) -> Result<Stream, Error> {
        let asking = timeout(PATIENCE, self.send(path, body, token)).await;
        let answer = asking.map_err(|_| Error::Lost(format!("{}: no answer", self.host)))??;
        let status = answer.status();
        let mut stream = Stream { body: answer.into_body(), bytes: Vec::new(), _connection: self };
        match status {
            StatusCode::OK => Ok(stream),
            status => {
                let bytes = stream.line().await.unwrap_or_default();
                Err(refusal(status, &bytes))
            }
        }
    }

    async fn send(
        &mut self,
        path: &str,
        body: &Value,
        token: Option<&str>,
    ) -> Result<Response<Incoming>, Error> {
        let lost = |host: &str, why: &dyn std::fmt::Display| Error::Lost(format!("{host}: {why}"));
        let mut request =
            Request::post(path).header(HOST, &self.host).header(CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request.body(Full::new(Bytes::from(body.to_string())));
        let request = request.map_err(|error| lost(&self.host, &error))?;
        self.sender.ready().await.map_err(|error| lost(&self.host, &error))?;
        self.sender.send_request(request).await.map_err(|error| lost(&self.host, &error))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Messages that come one by one, a line each.
#[derive(Debug)]
pub(super) struct Stream {
    body: Incoming,
    bytes: Vec<u8>,
    _connection: Connection,
}

impl Stream {
    /// The next message. Losing this future loses no message.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let line = self.line().await?;
        let told: Streamed<T> = read(&line)?;
        match (told.result, told.error) {
            (Some(result), _) => Ok(result),
            (None, error) => Err(refused(error.unwrap_or_default())),
        }
    }

    async fn line(&mut self) -> Result<Vec<u8>, Error> {
        loop {
            if let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let rest = self.bytes.split_off(end + 1);
                return Ok(std::mem::replace(&mut self.bytes, rest));
            }
            if self.bytes.len() > LONGEST {
                return Err(Error::Lost("etcd's answer has no end".into()));
            }
            match self.body.frame().await {
                None if self.bytes.is_empty() => return Err(Error::Lost("etcd ended the watch".into())),
                None => return Ok(std::mem::take(&mut self.bytes)),
                Some(Err(error)) => return Err(Error::Lost(error.to_string())),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.bytes.extend_from_slice(data);
                    }
                }
            }
        }
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Lost(format!("no answer of etcd: {error}")))
}

fn refusal(status: StatusCode, bytes: &[u8]) -> Error {
    match serde_json::from_slice::<Refusal>(bytes) {
        Ok(told) => refused(told),
        Err(_) => Error::Lost(format!("not etcd's API: status {status}")),
    }
}

fn refused(told: Refusal) -> Error {
    let why = if told.message.is_empty() { told.error } else { told.message };
    match told.code {
        UNAUTHENTICATED => Error::Unauthenticated(why),
        _ => Error::Refused(why),
    }
}
