use super::*;
use crate::{
    configuration::application::Place, streams::stream::RequestedStream, trail::event::EventId,
};

fn at(seconds: i64) -> Instant {
    Instant::from_millis(1_795_307_167_000 + seconds * 1000)
}

fn stream(from: i64) -> Stream {
    let asked = r#"{"target": {"kind": "s3"}}"#;
    let asked = RequestedStream::read(asked, Place::Deployed, "UTC").unwrap();
    Stream { from: at(from), ..asked.stream(None, at(0), at(-1000)).unwrap() }
}

fn position(seconds: i64) -> Position {
    Position { at: at(seconds), id: EventId::new("e").unwrap() }
}

#[test]
fn a_place_moves_on_and_a_replay_begins_anew() {
    let stream = stream(0);
    let mut progress = Progress::default().of(&stream);
    assert_eq!(progress.after(&stream), Position::before(at(0)).into());
    progress.took(3, Some(FeedPlace { position: position(5), late: Some(7) }), at(6));
    progress.took(0, Some(position(4).into()), at(7));
    let place = FeedPlace { position: position(5), late: Some(7) };
    assert_eq!(
        (progress.after(&stream), progress.sent, progress.last_sent_at),
        (place, 3, Some(at(6)))
    );
    let stored: Progress =
        serde_json::from_str(&serde_json::to_string(&progress).unwrap()).unwrap();
    assert_eq!(stored, progress);
    assert_eq!(progress.clone().of(&stream), progress);
    let replayed = Stream { from: at(2), begun_at: at(50), replays: 1, ..stream };
    let again = progress.of(&replayed);
    assert_eq!((again.after(&replayed), again.sent), (Position::before(at(2)).into(), 0));
}

#[test]
fn pauses_grow_and_end_with_the_first_answer() {
    let refusal = Refusal { error: "500".into(), retry_after: None, is_too_large: false };
    let mut progress = Progress::default();
    let mut pauses = Vec::new();
    for time in 0..12 {
        assert_eq!(progress.is_to_be_paused(), time >= 5, "{time}");
        progress.refused(&refusal, 9, at(time));
        pauses.push(progress.pause(&refusal, |_| Duration::ZERO).as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    assert_eq!((progress.failing_since, progress.attempts), (Some(at(0)), 12));
    let busy =
        Refusal { retry_after: Some(Duration::from_secs(900)), is_too_large: true, ..refusal };
    progress.refused(&busy, 9, at(20));
    assert_eq!(progress.pause(&busy, |most| most), Duration::from_secs(900));
    assert_eq!(progress.most, Some(4));
    progress.paused_at = Some(at(5));
    assert!(!progress.is_to_be_paused() && !progress.goes_on_again());
    progress.took(1, Some(position(1).into()), at(30));
    assert_eq!(progress.most, Some(4));
    progress.took(4, Some(position(2).into()), at(31));
    assert_eq!(progress.most, Some(5));
    assert!(
        progress.goes_on_again() && progress.error.is_none() && progress.failing_since.is_none()
    );
}
