//! The rules about the end of access, and about steps that do not fit.

use std::time::Duration;

use crate::{
    access::{evidence, session::StepProblem, timeline::UnexpectedStep},
    findings::{
        checkpoints::{AccessCheck, Violation, finding_id, shortened},
        rules::{REMOVAL_UNCONFIRMED, REVOCATION_OVERDUE},
    },
    windows::due::IMPORTED_OVERDUE_AFTER,
};

/// How much longer than the function that ends windows this rule waits for an overdue end.
const SWEEP_FIRST: Duration = Duration::from_secs(60);

impl AccessCheck<'_> {
    /// Access that ended too late, or whose end is not verified.
    pub(super) fn end(&mut self) {
        let access = self.access;
        let Some(planned) = access.ends_at.filter(|_| access.granted_at.is_some()) else { return };
        if access.end_cause == Some(evidence::EndCause::Covered) {
            return;
        }
        let limit =
            planned.plus(Duration::from_secs(self.context.thresholds.revocation_seconds.into()));
        // If there is a window, the function that ends it reports first.
        let patience = match (access.is_pim, access.window.is_some()) {
            (true, _) => IMPORTED_OVERDUE_AFTER,
            (false, true) => SWEEP_FIRST,
            (false, false) => Duration::ZERO,
        };
        let missing = limit.plus(patience);
        let (rule, why) = match access.ended_at {
            Some(ended) if ended <= limit => return,
            // An event about an earlier end may arrive later.
            Some(_) if !self.is_time(REVOCATION_OVERDUE, limit) => return,
            Some(ended) => {
                let late = (ended.millis() - planned.millis()) / 1000;
                (
                    REVOCATION_OVERDUE,
                    format!("it was removed {late} s after its planned end, {planned}"),
                )
            }
            None if access.is_external == Some(false) => {
                if !self.is_time(REVOCATION_OVERDUE, missing) {
                    return;
                }
                (
                    REVOCATION_OVERDUE,
                    format!("its removal is not confirmed since its planned end, {planned}"),
                )
            }
            None if !self.is_time(REMOVAL_UNCONFIRMED, missing) => return,
            None => (
                REMOVAL_UNCONFIRMED,
                format!("no source has confirmed its removal since its planned end, {planned}"),
            ),
        };
        let evidence: Vec<_> =
            access.verified.iter().map(|verified| verified.event.clone()).collect();
        let evidence = if evidence.is_empty() { self.asking_events() } else { evidence };
        // Access whose end was still to come when it was recorded is current access.
        let known_at = self.events.iter().filter(|it| evidence.contains(&it.event.id));
        let was_over = known_at.map(|it| it.recorded_at).max().is_some_and(|at| planned <= at);
        let found_later = was_over && self.is_history(&evidence);
        // A finding by the function that ends windows is the same finding.
        let finding = access.window.as_ref().map(|window| format!("{rule}:{window}"));
        let id = finding
            .filter(|finding| access.open_findings().any(|open| open == finding))
            .unwrap_or_else(|| finding_id(self.tenant, rule, &access.id));
        self.checked.found.push(Violation { id, rule, why, evidence, found_later });
    }

    /// Steps that do not fit.
    pub(super) fn steps(&mut self) {
        let misfits = &self.access.misfits;
        if !misfits.is_empty() && self.is_time("session.misfit", self.access.recorded_until) {
            self.found(
                "session.misfit",
                "",
                unexpected_in_words(misfits),
                shortened(misfits.iter().map(|misfit| &misfit.event)),
            );
        }
    }
}

/// What is wrong with the steps that do not fit, as a sentence.
fn unexpected_in_words(misfits: &[UnexpectedStep]) -> String {
    let problems = [
        (StepProblem::OutOfOrder, "not allowed after the earlier steps"),
        (StepProblem::RoleNotRequested, "about a role that was not requested"),
        (StepProblem::NotByRequester, "canceled by another person than the requester"),
    ];
    let parts: Vec<String> = problems
        .iter()
        .map(|(problem, words)| {
            (misfits.iter().filter(|misfit| misfit.problem == *problem).count(), words)
        })
        .filter(|(count, _)| *count > 0)
        .map(|(count, words)| format!("{count} {words}"))
        .collect();
    let steps = match misfits.len() {
        1 => "1 step does not fit".to_owned(),
        count => format!("{count} steps do not fit"),
    };
    format!("{steps}: {}", parts.join(", "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::trail::event::EventId;

    #[test]
    fn a_finding_says_what_is_wrong_with_the_steps() {
        let step =
            |problem: StepProblem| UnexpectedStep { event: EventId::new("e-1").unwrap(), problem };
        use StepProblem::{NotByRequester, OutOfOrder, RoleNotRequested};
        for (problems, words) in [
            (vec![OutOfOrder], "1 step does not fit: 1 not allowed after the earlier steps"),
            (
                vec![NotByRequester, OutOfOrder, RoleNotRequested, OutOfOrder],
                "4 steps do not fit: 2 not allowed after the earlier steps, 1 about a role that was not requested, 1 canceled by another person than the requester",
            ),
        ] {
            let steps: Vec<UnexpectedStep> = problems.into_iter().map(step).collect();
            assert_eq!(unexpected_in_words(&steps), words);
        }
    }
}
