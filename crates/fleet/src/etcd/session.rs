//! What goes on over a connection, until it is lost.

use super::connection::{Connection, Stream};
use super::options::{Endpoint, Options};
use super::store::{Asked, Shared};
use super::wire::{Done, Granted, Range, Streamed, Token, Transaction, Watched, behind, encoded};
use crate::Error;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// A connection to a member, and what it knows us by.
pub(super) struct Session<'a> {
    options: &'a Options,
    shared: &'a Shared,
    requests: Connection,
    token: Option<String>,
}

impl<'a> Session<'a> {
    /// Connects, and makes the copy what etcd has. The watch begins right behind it.
    pub(super) async fn open(
        options: &'a Options,
        endpoint: &Endpoint,
        shared: &'a Shared,
    ) -> Result<(Session<'a>, Stream), Error> {
        let requests = Connection::open(endpoint).await?;
        let mut session = Session { options, shared, requests, token: None };
        session.authenticate().await?;
        session.renew().await?;
        let (first, last) = (options.prefix.as_bytes(), behind(options.prefix.as_bytes()));
        let range = json!({ "key": encoded(first), "range_end": encoded(&last) });
        let all: Range = session.ask("/v3/kv/range", &range).await?;
        let next = all.header.revision + 1;
        let mut create = range;
        create["start_revision"] = Value::from(next.to_string());
        let watch = Connection::open(endpoint).await?;
        let asked = json!({ "create_request": create });
        let watch = watch.watch("/v3/watch", &asked, session.token.as_deref()).await?;
        shared.replace(all.kvs);
        Ok((session, watch))
    }

    /// Follows etcd and does what is asked; ends with what ended it, or with nothing if all is to end.
    pub(super) async fn follow(
        &mut self,
        mut watch: Stream,
        asked: &mut UnboundedReceiver<Asked>,
    ) -> Result<(), Error> {
        let mut tick = ticks(self.options.lease / 3);
        self.lend().await?;
        loop {
            tokio::select! {
                told = watch.next::<Watched>() => self.hear(told?)?,
                _ = tick.tick() => self.renew().await?,
                request = asked.recv() => match request {
                    None | Some(Asked::End) => return self.leave().await,
                    Some(Asked::Lend) => {}
                    Some(Asked::Grant(time, answer)) => {
                        let granted = self.grant(time).await;
                        let lost = lost(&granted);
                        let _ = answer.send(granted);
                        lost?;
                    }
                    Some(Asked::Transaction(transaction, answer)) => {
                        let done = self.transact(&transaction).await;
                        let lost = lost(&done);
                        let _ = answer.send(done);
                        lost?;
                    }
                },
            }
            self.lend().await?;
        }
    }

    fn hear(&self, told: Watched) -> Result<(), Error> {
        if told.canceled {
            return Err(Error::Lost(format!("etcd ended the watch: {}", told.cancel_reason)));
        }
        self.shared.apply(told.events);
        Ok(())
    }

    /// Puts what is lent and not yet there as it should be.
    async fn lend(&mut self) -> Result<(), Error> {
        while let Some(transaction) = self.shared.to_lend() {
            self.transact(&transaction).await?;
            self.shared.lent(&transaction);
        }
        Ok(())
    }

    async fn transact(&mut self, transaction: &Transaction) -> Result<bool, Error> {
        let body = transaction.json(&self.options.prefix, self.shared.lease());
        let done: Done = self.ask("/v3/kv/txn", &body).await?;
        Ok(done.succeeded)
    }

    /// Keeps leases alive, and gets another one where ours is gone.
    async fn renew(&mut self) -> Result<(), Error> {
        let lease = self.shared.lease();
        if lease == 0 || !self.keep_alive(lease).await? {
            let lease = self.grant(self.options.lease).await?;
            self.shared.set_lease(lease);
        }
        for lease in self.shared.kept() {
            self.keep_alive(lease).await?;
        }
        Ok(())
    }

    async fn keep_alive(&mut self, lease: i64) -> Result<bool, Error> {
        let told: Streamed<Granted> =
            self.ask("/v3/lease/keepalive", &json!({ "ID": lease.to_string() })).await?;
        Ok(told.result.is_some_and(|granted| granted.ttl > 0))
    }

    async fn grant(&mut self, time: Duration) -> Result<i64, Error> {
        let seconds = time.as_secs().max(1).to_string();
        let granted: Granted = self.ask("/v3/lease/grant", &json!({ "TTL": seconds })).await?;
        Ok(granted.id)
    }

    /// Takes away what is ours.
    async fn leave(&mut self) -> Result<(), Error> {
        let lease = self.shared.lease().to_string();
        self.ask::<Value>("/v3/lease/revoke", &json!({ "ID": lease })).await.map(drop)
    }

    async fn authenticate(&mut self) -> Result<(), Error> {
        let Some(user) = &self.options.user else { return Ok(()) };
        let body = json!({ "name": user.name, "password": user.password });
        let token: Token = self.requests.ask("/v3/auth/authenticate", &body, None).await?;
        self.token = Some(token.token);
        Ok(())
    }

    /// Asks; tokens expire, so a second time with a new one.
    async fn ask<T: DeserializeOwned>(&mut self, path: &str, body: &Value) -> Result<T, Error> {
        match self.requests.ask(path, body, self.token.as_deref()).await {
            Err(Error::Unauthenticated(_)) if self.options.user.is_some() => {
                self.authenticate().await?;
                self.requests.ask(path, body, self.token.as_deref()).await
            }
            answer => answer,
        }
    }
}

/// A refusal is for who asked; everything else ends the session.
fn lost<T>(answer: &Result<T, Error>) -> Result<(), Error> {
    match answer {
        Err(Error::Lost(why)) => Err(Error::Lost(why.clone())),
        _ => Ok(()),
    }
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
