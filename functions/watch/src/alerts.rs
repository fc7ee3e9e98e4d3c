//! Sends what stands in the outbox. Each channel of each tenant has a lane of its own: one that is slow or down holds up no other. A run has a
//! lane alone, and sends one message at a time. A message tells of all findings that wait together. While a channel is to be left alone for up to
//! a minute it is, whatever is found meanwhile; what is queued anew breaks a longer pause, so that a channel that was mended is found out soon.
//!
//! Whoever queues something calls a run, and in a bad hour that is many. The newest leads: it alone stays for what falls due, and the others end with what
//! they have begun.
//!
//! An alert is sent at least once. A run that dies after a channel took it, and before that was put down, leaves it to the next, which sends
//! it again.

use shared::services::alert_outbox;
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_types::SdkConfig;
use futures::{
    FutureExt, StreamExt, TryStreamExt,
    future::LocalBoxFuture,
    stream::{self, FuturesUnordered},
};
use serde::Serialize;
use serde_json::Value;
use shared::{
    domain::{
        alerts::{
            alert::Alert,
            delivery::Refusal,
            messages::{eventbridge, slack, sns, teams},
        },
        configuration::{
            alert_channel::{Channel, Way},
            application::SecretName,
        },
        time::timestamp::Instant,
        trail::event::Tenant,
    },
    platform::{
        aws_client::{Aws, CallError},
        environment::{ConfigError, Variables},
        outbound_http::{NoAnswer, Outbound},
        random,
        secrets::{Purpose, Secrets},
    },
    services::alert_outbox::{GATHER, Lane, LaneAlerts, StoredAlert},
    storage::ReadError,
};
use tokio::time::{Instant as Deadline, sleep_until};

use crate::Watch;

/// How long a run stays for what falls due: until the schedule begins the next.
const AHEAD: Duration = Duration::from_secs(55);
/// Kept of an invocation's time for what is under way: a secret, a webhook and the storage, each with the most it may take.
const UNDER_WAY: Duration = Duration::from_secs(45);
/// How long a run has a lane without renewing that.
const LEASE: Duration = Duration::from_secs(60);
/// How long a webhook may take.
const WEBHOOK: Duration = Duration::from_secs(10);
/// How long the storage may take.
const STORING: Duration = Duration::from_secs(10);
/// Shortest pause before a run looks again: the index follows the table.
const PAUSE: Duration = Duration::from_millis(250);
/// How often a run that stays looks whether it still leads, and what others have done.
const LOOKS: Duration = Duration::from_secs(2);
/// How long it mostly takes until the index holds what was queued.
const INDEX_LAG: Duration = Duration::from_secs(1);
/// Lanes that are worked on at a time.
const AT_ONCE: usize = 32;
/// Alerts whose outcome is written side by side.
const WRITES: usize = 16;
/// How long after something was queued an index may not show it yet, and when it is looked for again then.
const INDEX_MOSTLY: Duration = Duration::from_secs(5);
const INDEX_AT_MOST: Duration = Duration::from_secs(60);
/// When a lane is looked into in which nothing waits.
const IDLE: Duration = Duration::from_secs(3600);
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

/// A tenant and a channel of it.
type Name = (String, String);

/// The lanes that are to be looked into.
type Waiting = BTreeMap<Name, Lane>;

/// What there is to do.
struct Look {
    free: Waiting,
    /// When the next falls due.
    next: Option<Instant>,
    /// Whether the run leads; none while it has found nothing to lead for.
    leads: Option<bool>,
}

enum Done {
    Looked(Result<Look, ReadError>),
    Worked(Name, Result<Summary, ReadError>),
}

/// Sends what somebody has just queued, and what else is due. The index follows the table, on AWS by a moment or two: where nothing is found it is
/// looked for once more.
///
/// # Errors
/// The storage did not say what is due. The next run asks again.
pub async fn send_queued(function: &Watch, end: Deadline) -> Result<Summary, ReadError> {
    run(function, end, true).await
}

/// Sends what is due now or will be before the next run, and ends when there is nothing more, when a newer run leads, or in time before `end`.
/// Runs that overlap are safe: who has a lane has it alone.
///
/// # Errors
/// The storage did not say what is due. The next run asks again.
pub async fn send_due(function: &Watch, end: Deadline) -> Result<Summary, ReadError> {
    run(function, end, false).await
}

async fn run(
    function: &Watch,
    end: Deadline,
    mut is_expecting: bool,
) -> Result<Summary, ReadError> {
    let (run, clock) = (format!("{:016x}", random::number()), function.database.clock());
    let last = end
        .checked_sub(UNDER_WAY)
        .map_or_else(Deadline::now, |last| last.min(Deadline::now() + AHEAD));
    let leads = Cell::new(None);
    let looking = || look(function, &run, leads.get()).map(Done::Looked).boxed_local();
    let mut work = FuturesUnordered::<LocalBoxFuture<'_, Done>>::from_iter([looking()]);
    let (mut is_looking, mut looks_at) = (true, None::<Deadline>);
    let (mut waiting, mut at_work) = (Waiting::new(), BTreeSet::<Name>::new());
    let (mut summary, mut failure) = (Summary::default(), None);
    loop {
        while at_work.len() < AT_ONCE
            && Deadline::now() < last
            && let Some((name, lane)) = pop_earliest(&mut waiting)
        {
            at_work.insert(name.clone());
            let goes_on = || leads.get() == Some(true) && Deadline::now() < last;
            work.push(work_on(function, &run, name, lane, goes_on).boxed_local());
        }
        let wake = looks_at.filter(|at| *at < last && !is_looking);
        let done = tokio::select! {
            Some(done) = work.next() => done,
            () = sleep_until(wake.unwrap_or(last)), if wake.is_some() => {
                work.push(looking());
                is_looking = true;
                continue;
            }
            else => break,
        };
        match done {
            Done::Looked(Ok(found)) => {
                is_looking = false;
                leads.set(found.leads);
                let is_leading = found.leads == Some(true);
                waiting = found.free;
                waiting.retain(|name, _| is_leading && !at_work.contains(name));
                let (now, begun) = (clock.now(), Deadline::now());
                let wait = |at: Instant| {
                    Duration::from_millis(u64::try_from(at.millis() - now.millis()).unwrap_or(0))
                };
                let next = found.next.map(wait).filter(|wait| begun + *wait < last);
                let next = next.filter(|_| is_leading);
                let next = next.map(|wait| wait.clamp(PAUSE, LOOKS));
                let expected = (is_expecting && found.leads.is_none()).then_some(INDEX_LAG);
                is_expecting = false;
                looks_at = next.or(expected).map(|wait| begun + wait);
            }
            Done::Looked(Err(error)) => {
                is_looking = false;
                looks_at = None;
                failure = Some(error);
            }
            Done::Worked(name, worked) => {
                at_work.remove(&name);
                match worked {
                    Ok(worked) => {
                        summary.sent += worked.sent;
                        summary.refused += worked.refused;
                        // What was held up behind it, and what it put off.
                        if leads.get() == Some(true) {
                            let soon = Deadline::now() + PAUSE;
                            looks_at = Some(looks_at.map_or(soon, |at| at.min(soon)));
                        }
                    }
                    Err(error) => {
                        let (tenant, channel) = name;
                        tracing::warn!(%error, "{tenant}: alerts to {channel} wait for the storage: {error}");
                    }
                }
            }
        }
    }
    failure.map_or(Ok(summary), Err)
}

/// The lane whose turn it is.
fn pop_earliest(waiting: &mut Waiting) -> Option<(Name, Lane)> {
    let name = waiting.iter().min_by_key(|(_, lane)| lane.due_at)?.0.clone();
    waiting.remove_entry(&name)
}

/// Reads what there is to do. A run leads from the first look on that finds something.
async fn look(function: &Watch, run: &str, leads: Option<bool>) -> Result<Look, ReadError> {
    let (database, deadline) = (&function.database, Deadline::now() + STORING);
    let now = database.clock().now();
    // As far as a lease goes, so that what others have is seen.
    let lanes = alert_outbox::due_lanes(database, now.plus(LEASE + LOOKS), deadline).await?;
    let leads = match leads {
        None if lanes.is_empty() => None,
        None => {
            alert_outbox::lead_alerts(database, run, deadline).await?;
            Some(true)
        }
        Some(_) => {
            Some(alert_outbox::alerts_leader(database, deadline).await?.as_deref() == Some(run))
        }
    };
    let (free, later): (Vec<Lane>, Vec<Lane>) =
        lanes.into_iter().partition(|lane| lane.due_at <= now);
    let name = |lane: Lane| ((lane.tenant.to_string(), lane.channel.clone()), lane);
    Ok(Look {
        free: free.into_iter().map(name).collect(),
        next: later.iter().map(|lane| lane.due_at).min(),
        leads,
    })
}

/// Sends what waits in a lane, one message after the other, until one does not get through: then the others wait as long as it does.
async fn work_on(
    function: &Watch,
    run: &str,
    name: Name,
    lane: Lane,
    goes_on: impl Fn() -> bool,
) -> Done {
    let worked = send_from(function, run, lane, goes_on).await;
    Done::Worked(name, worked)
}

async fn send_from(
    function: &Watch,
    run: &str,
    lane: Lane,
    goes_on: impl Fn() -> bool,
) -> Result<Summary, ReadError> {
    let (database, clock, mut summary) =
        (&function.database, function.database.clock(), Summary::default());
    let deadline = || Deadline::now() + STORING;
    let hold = |lane: &mut Lane| {
        lane.run = Some(run.to_owned());
        lane.due_at = clock.now().plus(LEASE);
    };
    let Some(mut lane) = alert_outbox::take_lane(database, &lane, run, deadline(), hold).await?
    else {
        return Ok(summary);
    };
    let scope = database.scope(&lane.tenant, clock.now(), deadline()).await?;
    let channel = scope.settings.alerts.iter().find(|channel| channel.id == lane.channel);
    let (mut failures, mut rest, mut has_ended) = (lane.failures, None, None);
    // The channel as it is and each that it was fail by themselves: none holds up what goes to another.
    let (mut failed_past, mut rest_of_past) = (Vec::<Channel>::new(), None);
    while goes_on() {
        let scope = scope.at(clock.now(), deadline());
        let LaneAlerts { waiting, is_index_empty } =
            alert_outbox::waiting_alerts(&scope, &lane.channel).await?;
        let is_passed_over = |it: &&StoredAlert| match it.alert.as_it_was.as_deref() {
            Some(past) => failed_past.contains(past),
            None => rest.is_some(),
        };
        let Some(first) = waiting.iter().find(|it| !is_passed_over(it)) else {
            has_ended = Some(is_index_empty);
            break;
        };
        let Some(channel) = first.alert.as_it_was.as_deref().or(channel) else {
            let lost: Vec<&StoredAlert> =
                waiting.iter().filter(|it| it.alert.as_it_was.is_none()).collect();
            tracing::info!(
                "{} alerts were taken back: channel {} is not among the settings any more",
                lost.len(),
                lane.channel
            );
            let why = "the channel was taken from the settings before this was sent";
            for stored in lost {
                let scope = scope.at(clock.now(), deadline());
                alert_outbox::advance_alert(&scope, stored, stored.progress.given_up(why)).await?;
            }
            continue;
        };
        let kind = channel.way.kind();
        let is_told = |it: &&StoredAlert| {
            it.alert.id == first.alert.id || first.alert.goes_with(&it.alert, kind)
        };
        let told: Vec<&StoredAlert> = waiting.iter().filter(is_told).collect();
        let alerts: Vec<&Alert> = told.iter().map(|stored| &stored.alert).collect();
        let Some(message) = Alert::grouped(&lane.tenant, &alerts) else { break };
        match alert_outbox::take_lane(database, &lane, run, deadline(), hold).await? {
            Some(held) => lane = held,
            None => return Ok(summary),
        }
        let sent = function.ways.send(&lane.tenant, channel, &message).await;
        let now = clock.now();
        let scope = scope.at(now, deadline());
        let became = |stored: &StoredAlert| match &sent {
            Ok(()) => stored.progress.sent(kind, now),
            Err(refusal) => stored.progress.refused(&stored.alert, refusal, now),
        };
        let writes =
            told.iter().map(|stored| alert_outbox::advance_alert(&scope, stored, became(stored)));
        stream::iter(writes).buffer_unordered(WRITES).try_collect::<Vec<_>>().await?;
        match &sent {
            Ok(()) => {
                summary.sent += told.len();
                if first.alert.as_it_was.is_none() {
                    failures = 0;
                }
            }
            Err(refusal) => {
                summary.refused += told.len();
                let (error, id, channel) = (&refusal.error, &first.alert.id, &lane.channel);
                let more = match told.len() {
                    1 => String::new(),
                    all => format!(" (and {} in the same message)", all - 1),
                };
                if refusal.is_final {
                    tracing::error!(%error, "alert {id} to {channel} was given up: {error}{more}");
                } else {
                    tracing::warn!(%error, "alert {id} to {channel} will be tried again: {error}{more}");
                    if let Some(past) = first.alert.as_it_was.as_deref() {
                        let pause = refusal.pause(first.progress.attempts + 1, random::up_to);
                        rest_of_past = Some(rest_of_past.map_or(pause, |rest| pause.min(rest)));
                        failed_past.push(past.clone());
                    } else {
                        failures += 1;
                        rest = Some(refusal.pause(failures, random::up_to));
                    }
                }
            }
        }
    }
    let now = clock.now();
    let since = now.millis() - lane.woken_at.millis();
    let is_within = |time: Duration| since < i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    let due_at = match (rest.or(rest_of_past), has_ended) {
        (Some(pause), _) => now.plus(pause),
        (None, None) => now,
        // The index still names what has left, so it may not name yet what has come.
        (None, Some(false)) => now.plus(INDEX_LAG),
        (None, Some(true)) if is_within(INDEX_MOSTLY) => now.plus(INDEX_LAG),
        (None, Some(true)) if is_within(INDEX_AT_MOST) => now.plus(INDEX_AT_MOST),
        (None, Some(true)) => now.plus(IDLE),
    };
    let known = lane.woken_at;
    let leave = |lane: &mut Lane| {
        // What was queued meanwhile did not touch the time of a lane that is held.
        let is_woken = rest.is_none() && lane.woken_at != known;
        lane.run = None;
        lane.failures = failures;
        lane.due_at = if is_woken { due_at.min(now.plus(GATHER)) } else { due_at };
    };
    alert_outbox::take_lane(database, &lane, run, deadline(), leave).await?;
    Ok(summary)
}

impl Ways {
    /// Reads the configuration.
    ///
    /// # Errors
    /// A variable is missing.
    pub fn new(
        variables: &Variables,
        aws: &SdkConfig,
        outbound: Outbound,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            outbound,
            secrets: Secrets::new(variables, aws, Purpose::Webhook)?,
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
            Way::Slack { url } => self.post(tenant, url, &slack::for_slack(alert, link)).await,
            Way::Teams { url } => self.post(tenant, url, &teams::for_teams(alert, link)).await,
            Way::Sns => Ok(self
                .aws
                .publish(&self.topic, &sns::for_sns(tenant, alert, link))
                .await
                .map_err(of_aws)?),
            Way::EventBridge => Ok(self
                .aws
                .put_event(&self.bus, &eventbridge::for_eventbridge(tenant, alert, link))
                .await
                .map_err(of_aws)?),
        }
    }

    /// Posts to the webhook whose address is the secret of that name.
    async fn post(&self, tenant: &Tenant, name: &SecretName, body: &Value) -> Result<(), Refusal> {
        // Who forgot to put a secret there can still do it.
        let read = async || {
            let secret = self.secrets.read(tenant, name).await;
            let address = secret.and_then(|secret| secret.as_url().map(str::to_owned));
            address.map_err(|failure| passing(failure.detail))
        };
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
        let request = http::Request::post(address)
            .header("content-type", "application/json")
            .body(body.to_string());
        let request = request
            .map_err(|_| refusal("the secret does not hold the address of a webhook".to_owned()))?;
        let hidden = Hidden::of(request.uri());
        let answer = self.outbound.send(request, WEBHOOK).await.map_err(|error| match error {
            NoAnswer::Forbidden(detail) => {
                refusal(format!("the webhook's address is refused: {}", hidden.from(&detail)))
            }
            NoAnswer::Broken(detail) => {
                passing(format!("the webhook gave no answer: {}", hidden.from(&detail)))
            }
        })?;
        let status = answer.status;
        let said = said(&answer.body).map_or_else(String::new, |word| format!(", {word}"));
        match status {
            200..=299 => Ok(()),
            408 | 429 | 500..=599 => Err(Refusal {
                retry_after: answer.retry_after(),
                ..passing(format!("the webhook answered {status}{}", hidden.from(&said)))
            }),
            300..=399 => Err(refusal(format!(
                "the webhook answered {status}, and redirects are not followed"
            ))),
            _ => Err(refusal(format!("the webhook answered {status}{}", hidden.from(&said)))),
        }
    }
}

/// What may not be told of a webhook: whoever knows its address can write to the channel.
struct Hidden(Vec<String>);

impl Hidden {
    fn of(uri: &http::Uri) -> Self {
        let parts = [
            uri.path_and_query().map(|it| it.as_str()),
            uri.authority().map(|it| it.as_str()),
            uri.host(),
        ];
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
    let is_word = (1..=LONGEST_WORD).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
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
        let hidden =
            Hidden::of(&"https://hooks.slack.com:8443/services/T0/B0/x?sig=y".parse().unwrap());
        for text in [
            "hooks.slack.com did not answer within 10s",
            "cannot POST /services/T0/B0/x?sig=y",
            "https://hooks.slack.com:8443/services/T0/B0/x?sig=y",
            "hooks.slack.com:8443: connection refused",
        ] {
            let told = hidden.from(text);
            assert!(
                !told.contains("slack") && !told.contains("T0") && !told.contains("8443"),
                "{told}"
            );
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
