//! Sends what stands in the outbox. Each channel of each tenant has a lane of its own: one that is slow or down holds up no other.
//!
//! An alert is sent at least once. A run that dies after a channel took it, and before that was put down, leaves it to the next, which sends
//! it again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_types::SdkConfig;
use futures::{FutureExt, StreamExt, future::LocalBoxFuture, stream::FuturesUnordered};
use serde::Serialize;
use serde_json::Value;
use shared::{
    alert::{self, Alert, Channel, Refusal, State, Way},
    application::SecretName,
    aws::{Aws, CallError},
    chance,
    config::{ConfigError, Variables},
    event::Tenant,
    instant::Instant,
    outbound::{NoAnswer, Outbound},
    secrets::Secrets,
    store::{ReadError, Unavailable, outbox::StoredAlert},
};
use tokio::time::{Instant as Deadline, sleep_until};

use crate::Watch;

/// How long a run stays for what falls due: until the schedule begins the next.
const AHEAD: Duration = Duration::from_secs(55);
/// Kept of an invocation's time for what is under way: a secret, a webhook and the storage, each with the most it may take.
const UNDER_WAY: Duration = Duration::from_secs(45);
/// How long a run has an alert that it sends.
const LEASE: Duration = Duration::from_secs(60);
/// How long a webhook may take.
const WEBHOOK: Duration = Duration::from_secs(10);
/// How long the storage may take.
const STORING: Duration = Duration::from_secs(10);
/// Shortest pause before a run looks again: the index follows the table.
const PAUSE: Duration = Duration::from_millis(250);
/// How long it mostly takes until the index holds what was queued.
const INDEX_LAG: Duration = Duration::from_secs(1);
/// Lanes that are worked on at a time.
const AT_ONCE: usize = 32;
/// Alerts of a lane that wait in memory; those behind them are read again later.
const WAITING: usize = 100;
/// Longest word of a webhook that is told.
const LONGEST_WORD: usize = 40;

/// What channels are reached by.
#[derive(Debug)]
pub struct Ways {
    outbound: Outbound,
    secrets: Secrets,
    aws: Aws,
    topic: String,
    bus: String,
    /// Where people see findings, if somebody said where that is.
    page: Option<String>,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Summary {
    /// Alerts that channels took.
    pub sent: usize,
    /// Tries that came to nothing.
    pub refused: usize,
}

/// A channel of a tenant.
type Lane = (String, String);

/// What is due, by lanes, and when the next one falls due.
struct Look {
    due: BTreeMap<Lane, (Tenant, Vec<StoredAlert>)>,
    next: Option<Instant>,
}

/// What came of a lane.
struct Worked {
    summary: Summary,
    /// Until when the channel is left alone.
    rests_until: Option<Instant>,
    /// Whether more may stand behind what was read.
    may_go_on: bool,
}

enum Done {
    Looked(Result<Look, Unavailable>),
    Worked(Lane, Result<Worked, ReadError>),
}

/// Sends what somebody has just queued, and what else is due. The index follows the table, on AWS by a moment or two: where nothing is found it is
/// looked for once more.
///
/// # Errors
/// The storage did not say what is due. The next run asks again.
pub async fn send_queued(function: &Watch, end: Deadline) -> Result<Summary, ReadError> {
    let summary = send_due(function, end).await?;
    if summary.sent + summary.refused > 0 {
        return Ok(summary);
    }
    tokio::time::sleep(INDEX_LAG).await;
    send_due(function, end).await
}

/// Sends what is due now or will be before the next run, and ends when there is nothing more, or in time before `end`. Runs that overlap are
/// safe: each alert is sent by who claims it.
///
/// # Errors
/// The storage did not say what is due. The next run asks again.
pub async fn send_due(function: &Watch, end: Deadline) -> Result<Summary, ReadError> {
    let clock = function.store.clock();
    let last = end.checked_sub(UNDER_WAY).map_or_else(Deadline::now, |last| last.min(Deadline::now() + AHEAD));
    let until = clock.now().plus(last.saturating_duration_since(Deadline::now()));
    let look = || look(function, until).map(Done::Looked).boxed_local();
    let mut work = FuturesUnordered::<LocalBoxFuture<'_, Done>>::from_iter([look()]);
    let (mut is_looking, mut looks_at) = (true, None::<Deadline>);
    let mut waiting = BTreeMap::new();
    let mut at_work = BTreeSet::<Lane>::new();
    let mut rests = BTreeMap::<Lane, Instant>::new();
    let (mut summary, mut failure) = (Summary::default(), None);
    loop {
        while at_work.len() < AT_ONCE
            && Deadline::now() < last
            && let Some((lane, (tenant, alerts))) = waiting.pop_first()
        {
            at_work.insert(Lane::clone(&lane));
            work.push(work_on(function, tenant, lane, alerts, last).boxed_local());
        }
        let wake = looks_at.filter(|at| *at < last && !is_looking);
        let done = tokio::select! {
            Some(done) = work.next() => done,
            () = sleep_until(wake.unwrap_or(last)), if wake.is_some() => {
                work.push(look());
                is_looking = true;
                continue;
            }
            else => break,
        };
        let now = clock.now();
        let from_now = |at: Instant| {
            let wait = Duration::from_millis(u64::try_from(at.millis() - now.millis()).unwrap_or(0));
            Deadline::now() + wait.max(PAUSE)
        };
        match done {
            Done::Looked(Ok(found)) => {
                is_looking = false;
                rests.retain(|_, until| now < *until);
                let resting = rests.values().min().copied();
                looks_at = found.next.into_iter().chain(resting).min().map(from_now);
                waiting = found.due;
                waiting.retain(|lane, _| !at_work.contains(lane) && !rests.contains_key(lane));
            }
            Done::Looked(Err(error)) => {
                is_looking = false;
                looks_at = None;
                failure = Some(error);
            }
            Done::Worked(lane, worked) => {
                at_work.remove(&lane);
                match worked {
                    Ok(worked) => {
                        summary.sent += worked.summary.sent;
                        summary.refused += worked.summary.refused;
                        let again_at = worked.rests_until.or(worked.may_go_on.then_some(now));
                        looks_at = looks_at.into_iter().chain(again_at.map(from_now)).min();
                        rests.extend(worked.rests_until.map(|until| (lane, until)));
                    }
                    Err(error) => {
                        let (tenant, channel) = lane;
                        tracing::warn!(%error, "{tenant}: alerts to {channel} wait for the storage: {error}");
                    }
                }
            }
        }
    }
    failure.map_or(Ok(summary), |error| Err(error.into()))
}

/// Reads what is due, or will be before a time.
async fn look(function: &Watch, until: Instant) -> Result<Look, Unavailable> {
    let (deadline, now) = (Deadline::now() + STORING, function.store.clock().now());
    let (mut look, mut start) = (Look { due: BTreeMap::new(), next: None }, None);
    loop {
        let (page, next) = function.store.due_alerts(until.max(now), start, deadline).await?;
        for (tenant, stored) in page {
            let due_at = stored.due_at.unwrap_or(now);
            if due_at > now {
                look.next = Some(look.next.map_or(due_at, |next| next.min(due_at)));
                continue;
            }
            let lane = (tenant.to_string(), stored.alert.channel.clone());
            let (_, alerts) = look.due.entry(lane).or_insert_with(|| (tenant, Vec::new()));
            // However many one channel has, what stands behind them is reached.
            if alerts.len() < WAITING {
                alerts.push(stored);
            }
        }
        start = next;
        if start.is_none() {
            return Ok(look);
        }
    }
}

/// Sends the alerts of a lane one after the other, until one does not get through: then the others wait as long as it does.
async fn work_on(function: &Watch, tenant: Tenant, lane: Lane, mut alerts: Vec<StoredAlert>, last: Deadline) -> Done {
    let may_go_on = alerts.len() == WAITING;
    // The one that was tried most often tells how long the channel has been down, and so how long to leave it alone.
    alerts.sort_by_key(|stored| std::cmp::Reverse(stored.progress.attempts));
    let working = async {
        let clock = function.store.clock();
        let trail = function.store.trail(&tenant, clock.now(), Deadline::now() + STORING).await?;
        let channel = trail.settings.alerts.iter().find(|channel| channel.id == lane.1);
        let mut worked = Worked { summary: Summary::default(), rests_until: None, may_go_on };
        for stored in alerts {
            if Deadline::now() >= last {
                break;
            }
            let now = clock.now();
            let trail = trail.at(now, Deadline::now() + STORING);
            if let Some(until) = worked.rests_until {
                trail.claim_alert(&stored, until).await?;
                continue;
            }
            let Some(claimed) = trail.claim_alert(&stored, now.plus(LEASE)).await? else { continue };
            let (id, before) = (&claimed.alert.id, &claimed.progress);
            let Some(channel) = channel else {
                tracing::info!("alert {id} was taken back: its channel {} is not among the settings any more", lane.1);
                let why = "the channel was taken from the settings before this was sent";
                trail.advance_alert(&claimed, before.given_up(why), None).await?;
                continue;
            };
            let sent = function.ways.send(&tenant, channel, &claimed.alert).await;
            let now = clock.now();
            let trail = trail.at(now, Deadline::now() + STORING);
            match sent {
                Ok(()) => {
                    worked.summary.sent += 1;
                    trail.advance_alert(&claimed, before.sent(channel.way.kind(), now), None).await?;
                }
                Err(refusal) => {
                    worked.summary.refused += 1;
                    let (progress, pause) = before.refused(&claimed.alert, &refusal, now, chance::up_to);
                    let error = &refusal.error;
                    match progress.state {
                        State::Failed => {
                            tracing::error!(%error, "alert {id} to {} was given up: {error}", lane.1);
                        }
                        State::Waiting | State::Sent => {
                            tracing::warn!(%error, "alert {id} to {} will be tried again: {error}", lane.1);
                        }
                    }
                    let again_at = pause.map(|pause| now.plus(pause));
                    trail.advance_alert(&claimed, progress, again_at).await?;
                    worked.rests_until = again_at;
                }
            }
        }
        Ok(worked)
    };
    let worked = working.await;
    Done::Worked(lane, worked)
}

impl Ways {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing.
    pub fn new(variables: &Variables, aws: &SdkConfig, outbound: Outbound) -> Result<Self, ConfigError> {
        Ok(Self {
            outbound,
            secrets: Secrets::new(variables, aws)?,
            aws: Aws::new(aws),
            topic: variables.text("ALERT_TOPIC")?.to_owned(),
            bus: variables.text("ALERT_BUS")?.to_owned(),
            page: variables.optional("PUBLIC_URL").filter(|url| !url.is_empty()).map(str::to_owned),
        })
    }

    async fn send(&self, tenant: &Tenant, channel: &Channel, alert: &Alert) -> Result<(), Refusal> {
        let link = alert.link(self.page.as_deref());
        let link = link.as_deref();
        match &channel.way {
            Way::Slack { url } => self.post(tenant, url, &alert::for_slack(alert, link)).await,
            Way::Teams { url } => self.post(tenant, url, &alert::for_teams(alert, link)).await,
            Way::Sns => {
                Ok(self.aws.publish(&self.topic, &alert::for_sns(tenant, alert, link)).await.map_err(of_aws)?)
            }
            Way::EventBridge => {
                Ok(self.aws.put_event(&self.bus, &alert::for_eventbridge(tenant, alert, link)).await.map_err(of_aws)?)
            }
        }
    }

    /// Posts to the webhook whose address is the secret of that name.
    async fn post(&self, tenant: &Tenant, name: &SecretName, body: &Value) -> Result<(), Refusal> {
        // Who forgot to put a secret there can still do it.
        let read = async || self.secrets.read(tenant, name).await.map_err(|failure| passing(failure.detail));
        let address = read().await?;
        let refused = match self.post_to(&address, body).await {
            Err(refusal) if refusal.is_final => refusal,
            other => return other,
        };
        // A webhook that was replaced refuses by its old address, which may be the one that was kept here.
        self.secrets.forget(tenant, name);
        match read().await? {
            other if other == address => Err(refused),
            other => self.post_to(&other, body).await,
        }
    }

    async fn post_to(&self, address: &str, body: &Value) -> Result<(), Refusal> {
        let address = address.trim();
        let request = http::Request::post(address).header("content-type", "application/json").body(body.to_string());
        let request = request.map_err(|_| refusal("the secret does not hold the address of a webhook".to_owned()))?;
        let hidden = Hidden::of(request.uri());
        let answer = self.outbound.send(request, WEBHOOK).await.map_err(|error| match error {
            NoAnswer::Forbidden(detail) => {
                refusal(format!("the webhook's address is refused: {}", hidden.from(&detail)))
            }
            NoAnswer::Broken(detail) => passing(format!("the webhook gave no answer: {}", hidden.from(&detail))),
        })?;
        let status = answer.status;
        let said = said(&answer.body).map_or_else(String::new, |word| format!(", {word}"));
        match status {
            200..=299 => Ok(()),
            408 | 429 | 500..=599 => Err(Refusal {
                retry_after: answer.retry_after(),
                ..passing(format!("the webhook answered {status}{}", hidden.from(&said)))
            }),
            300..=399 => Err(refusal(format!("the webhook answered {status}, and redirects are not followed"))),
            _ => Err(refusal(format!("the webhook answered {status}{}", hidden.from(&said)))),
        }
    }
}

/// What may not be told of a webhook: whoever knows its address can write to the channel.
struct Hidden(Vec<String>);

impl Hidden {
    fn of(uri: &http::Uri) -> Self {
        let parts = [uri.path_and_query().map(|it| it.as_str()), uri.authority().map(|it| it.as_str()), uri.host()];
        let parts = parts.into_iter().flatten().filter(|part| part.len() > 1).map(str::to_owned);
        Self([uri.to_string()].into_iter().chain(parts).collect())
    }

    /// The text without it.
    fn from(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, part| text.replace(part, "(its address)"))
    }
}

/// What a webhook says is wrong, if it says it in one word as Slack does (`no_service`). Other answers may hold anything.
fn said(body: &[u8]) -> Option<&str> {
    let word = std::str::from_utf8(body).ok()?.trim();
    let is_word =
        (1..=LONGEST_WORD).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_word.then_some(word)
}

/// It may work when it is tried again.
fn passing(error: String) -> Refusal {
    Refusal { error, is_final: false, retry_after: None }
}

/// It is of no use to try it again.
fn refusal(error: String) -> Refusal {
    Refusal { error, is_final: true, retry_after: None }
}

/// The deployment's own topic and bus: whatever is wrong with them can be put right within a day.
fn of_aws(error: CallError) -> Refusal {
    passing(error.detail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_webhooks_address_is_never_told() {
        let hidden = Hidden::of(&"https://hooks.slack.com:8443/services/T0/B0/x?sig=y".parse().unwrap());
        for text in [
            "hooks.slack.com did not answer within 10s",
            "cannot POST /services/T0/B0/x?sig=y",
            "https://hooks.slack.com:8443/services/T0/B0/x?sig=y",
            "hooks.slack.com:8443: connection refused",
        ] {
            let told = hidden.from(text);
            assert!(!told.contains("slack") && !told.contains("T0") && !told.contains("8443"), "{told}");
            assert!(told.contains("(its address)"), "{told}");
        }
        // One that is only a host hides no slash.
        assert_eq!(Hidden::of(&"https://hooks.example/".parse().unwrap()).from("a/b"), "a/b");
    }

    #[test]
    fn of_an_answer_one_word_is_told() {
        for (body, word) in [
            ("no_service", Some("no_service")),
            ("invalid_payload\n", Some("invalid_payload")),
            ("<h1>Cannot POST /services/T0</h1>", None),
            ("a".repeat(41).as_str(), None),
            ("", None),
        ] {
            assert_eq!(said(body.as_bytes()), word, "{body}");
        }
    }
}
