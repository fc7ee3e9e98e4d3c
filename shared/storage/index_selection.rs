//! Chooses the narrowest index that contains every matching event. The choice affects only the
//! speed, because the whole filter is applied to each event.

use crate::{
    keys::{self, PERSON, Part, THING},
    list_events::Index,
};
use shared_domain::{
    json::object_reader::NAME_BYTES,
    time::timestamp::Instant,
    trail::{
        event::Tenant,
        fields::Field,
        filter::{Filter, Operand, Operator},
    },
};

/// An index and the time range in which events may match the filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub index: Index,
    /// Start of the range, inclusive.
    pub since: Option<Instant>,
    /// End of the range, exclusive.
    pub until: Option<Instant>,
    /// Whether the filter restricts only index and range, so most events that are read match.
    pub is_exact: bool,
}

/// The attributes that an index by party uses.
struct Involved {
    name: &'static str,
    key: &'static str,
    /// The prefix of its attributes' paths.
    field: &'static str,
    /// Its keys use the first of these parts that the event has.
    order: &'static [Part],
}

/// The narrowest first: a session has tens of events, an account hundreds, a desktop thousands.
const INDEXES: [Involved; 5] = [
    Involved { name: "by_session", key: "session_key", field: "session", order: &[Part::Id] },
    Involved { name: "by_account", key: "account_key", field: "account", order: &THING },
    Involved { name: "by_subject", key: "subject_key", field: "subject", order: &PERSON },
    Involved { name: "by_actor", key: "actor_key", field: "actor", order: &PERSON },
    Involved { name: "by_target", key: "target_key", field: "target", order: &THING },
];

/// The best plan for events that match `filter`.
pub fn plan(tenant: &Tenant, filter: Option<&Filter>) -> Plan {
    let mut plans = plans(tenant, filter);
    plans.swap_remove(0)
}

/// All plans that find every match of `filter`, the narrowest first; the last one reads the whole
/// range.
pub fn plans(tenant: &Tenant, filter: Option<&Filter>) -> Vec<Plan> {
    let terms = match filter {
        Some(Filter::And(all)) => all.as_slice(),
        Some(one) => std::slice::from_ref(one),
        None => &[],
    };
    let indexes =
        INDEXES.iter().filter_map(|index| index.covering(tenant, terms)).chain([Index::ByTime]);
    let (mut since, mut until): (Option<Instant>, Option<Instant>) = (None, None);
    for term in terms {
        let Filter::Compare(attribute, operator, Operand::Time(time)) = term else { continue };
        if *attribute != Field::OccurredAt {
            continue;
        }
        let next = Instant::from_millis(time.millis() + 1);
        let (from, to) = match operator {
            Operator::Eq => (Some(*time), Some(next)),
            Operator::Gt => (Some(next), None),
            Operator::Ge => (Some(*time), None),
            Operator::Lt => (None, Some(*time)),
            Operator::Le => (None, Some(next)),
            Operator::Ne | Operator::Co | Operator::Sw | Operator::Ew => (None, None),
        };
        since = since.max(from);
        until = match (until, to) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    let bounded = |term: &Filter| matches!(term, Filter::Compare(attribute, _, Operand::Time(_)) if *attribute == Field::OccurredAt);
    let rest = terms.iter().filter(|term| !bounded(term)).count();
    indexes
        .map(|index| {
            let is_exact = rest == usize::from(index != Index::ByTime);
            Plan { index, since, until, is_exact }
        })
        .collect()
}

impl Involved {
    /// The partition that contains every event that matches all of `terms`, if there is one. A key
    /// uses the first part that an event has, so a later part is usable only if the filter excludes
    /// the earlier ones.
    fn covering(&self, tenant: &Tenant, terms: &[Filter]) -> Option<Index> {
        for part in self.order {
            let path = format!("{}.{}", self.field, member(*part));
            let asked = terms.iter().find_map(|term| match term {
                // Longer than any folded name: DynamoDB would reject it as a key.
                Filter::Compare(attribute, Operator::Eq, Operand::Text(value))
                    if attribute.path() == path && value.len() <= 4 * NAME_BYTES =>
                {
                    Some(value)
                }
                _ => None,
            });
            if let Some(value) = asked {
                return Some(Index::Involved {
                    name: self.name,
                    key: self.key,
                    partition: keys::involved(tenant, *part, value),
                });
            }
            let is_ruled_out = terms.iter().any(|term| match term {
                Filter::Not(inner) => {
                    matches!(&**inner, Filter::Present(attribute) if attribute.path() == path)
                }
                _ => false,
            });
            if !is_ruled_out {
                return None;
            }
        }
        None
    }
}

fn member(part: Part) -> &'static str {
    match part {
        Part::Email => "email",
        Part::Id => "id",
        Part::Name => "name",
    }
}

/// Whether `index` contains the event.
#[cfg(test)]
pub fn holds(index: &Index, recorded: &shared_domain::trail::event::Recorded) -> bool {
    match index {
        Index::ByTime | Index::ByRecorded => true,
        Index::Involved { key, partition, .. } => {
            let partition = keys::in_lane(partition, keys::Lane::Shown);
            crate::event_item::attributes(recorded)
                .iter()
                .any(|(name, value)| name == key && value.as_s() == Ok(&partition))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shared_domain::trail::{
        arbitrary::{events, instant, recorded},
        fields::FieldValue,
    };

    fn planned(text: &str) -> Plan {
        plan(&Tenant::new("acme").unwrap(), Some(&Filter::read(text).unwrap()))
    }

    fn index(text: &str) -> &'static str {
        match planned(text).index {
            Index::ByTime => "by_time",
            Index::ByRecorded => "by_recorded",
            Index::Involved { name, .. } => name,
        }
    }

    #[test]
    fn an_index_is_used_only_where_it_cannot_miss() {
        for (filter, expected) in [
            ("actor.email eq \"a@b\"", "by_actor"),
            ("ACTOR.EMAIL EQ \"A@B\" and outcome eq \"failure\"", "by_actor"),
            ("(actor.email eq \"a@b\")", "by_actor"),
            ("actor.id eq \"1\"", "by_time"),
            ("actor.id eq \"1\" and not (actor.email pr)", "by_actor"),
            ("actor.name eq \"x\" and not (actor.email pr)", "by_time"),
            ("target.name eq \"W11\"", "by_target"),
            ("target.id eq \"1\"", "by_time"),
            ("target.name eq \"W11\" and account.name eq \"MSP\"", "by_account"),
            ("target.name eq \"W11\" and session.id eq \"68\"", "by_session"),
            ("subject.email eq \"a@b\"", "by_subject"),
            ("actor.email eq \"a@b\" or actor.email eq \"c@d\"", "by_time"),
            ("not (actor.email eq \"a@b\")", "by_time"),
            ("actor.email ne \"a@b\"", "by_time"),
            ("actor.email co \"a@b\"", "by_time"),
            ("outcome eq \"failure\"", "by_time"),
        ] {
            assert_eq!(index(filter), expected, "{filter}");
        }
    }

    #[test]
    fn times_in_the_filter_narrow_the_range() {
        let plan = planned(
            "occurred_at ge \"2026-01-01T00:00:00Z\" and occurred_at lt \"2026-02-01T00:00:00Z\" and occurred_at gt \"2025-01-01T00:00:00Z\"",
        );
        assert_eq!(plan.since.unwrap().to_string(), "2026-01-01T00:00:00.000Z");
        assert_eq!(plan.until.unwrap().to_string(), "2026-02-01T00:00:00.000Z");
        assert_eq!(
            planned("occurred_at ge \"2026-01-01T00:00:00Z\" or id pr"),
            Plan { index: Index::ByTime, since: None, until: None, is_exact: false }
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// For any conjunction of equalities and absences, with values from the event or its
        /// neighbours, the chosen partition and range contain each match.
        #[test]
        fn what_meets_the_filter_is_where_the_plan_looks(
            event in events(), at in instant(), picks in proptest::collection::vec((0usize..16, any::<bool>()), 1..6)
        ) {
            const PATHS: [&str; 16] = [
                "actor.email", "actor.id", "actor.name", "subject.email", "subject.id", "subject.name", "account.email", "account.id",
                "account.name", "target.email", "target.id", "target.name", "session.id", "occurred_at", "session.username", "id",
            ];
            let event = recorded(event, at);
            let terms: Vec<_> = picks
                .iter()
                .map(|(place, upper)| match Field::named(PATHS[*place]).unwrap().find(&event) {
                    FieldValue::Text(text) if *upper => format!("{} eq {}", PATHS[*place], serde_json::Value::from(text.to_uppercase())),
                    FieldValue::Text(text) => format!("{} eq {}", PATHS[*place], serde_json::Value::from(&*text)),
                    FieldValue::Time(time) if *upper => format!("{} le \"{time}\"", PATHS[*place]),
                    FieldValue::Time(time) => format!("{} ge \"{time}\"", PATHS[*place]),
                    _ => format!("not ({} pr)", PATHS[*place]),
                })
                .collect();
            let filter = Filter::read(&terms.join(" and ")).unwrap();
            let plan = plan(&event.event.tenant, Some(&filter));
            if filter.matches(&event) {
                prop_assert!(holds(&plan.index, &event), "{:?} {}", plan, terms.join(" and "));
                prop_assert!(plan.since.is_none_or(|since| since <= event.event.occurred_at));
                prop_assert!(plan.until.is_none_or(|until| event.event.occurred_at < until));
            }
        }
    }
}
