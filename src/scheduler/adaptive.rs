//! What [`TickBudget::Auto`](crate::TickBudget::Auto) grants: learned from frame times.

use std::time::Duration;

/// The part of a frame's free time that its ticks may take. The rest is for what cannot be seen
/// from the main schedule (extraction, rendering without a thread of its own), and for jitter.
const SHARE: f64 = 0.6;

/// What a tick may take at least: less would hardly pay for looking at the isolates.
const LEAST: Duration = Duration::from_millis(1);

/// The part of the timestep that a tick may take at most.
const MOST: f64 = 0.6;

/// How far the budget is cut back when frames come late although the main schedule seems to leave time.
const LEAST_CONFIDENCE: f64 = 0.25;

/// By this factor a late frame cuts the budget back, ...
const CUT: f64 = 0.8;

/// ... and so much of it each frame in time gives back: all of it in some three seconds.
const RECOVERY: f64 = 0.005;

/// A frame is late that takes so many times as long as it should: less is the jitter of timers.
const LATE: f64 = 1.25;

/// The part of the difference by which the idea of what the game takes follows quicker frames. Slower frames it follows
/// as soon as there are two of them in [`RECENT`].
const DECAY: f64 = 0.06;

/// Of so many frames the slowest is left out: the operating system, or a level that loads, took its time, not the game.
const RECENT: usize = 4;

/// Frames with a tick in a row after which the frame rate does not exceed the tick rate.
const FRAMES_WITH_TICK: u32 = 16;

/// What is known of a frame when it is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// From its beginning to the beginning of the next, waiting included.
    pub(crate) interval: Duration,
    /// What its main schedule took.
    pub(crate) work: Duration,
    /// What of that was our systems.
    pub(crate) ours: Duration,
    /// Ticks in it.
    pub(crate) ticks: u32,
}

/// Times in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AdaptiveBudget {
    /// What the game itself takes of a frame.
    game: f64,
    /// What it took of the last frames, the latest first.
    recent: [f64; RECENT],
    /// What a frame without a tick takes, waiting included; meaningful while there are any.
    tickless_interval: f64,
    frames_with_tick: u32,
    confidence: f64,
}

impl Default for AdaptiveBudget {
    fn default() -> Self {
        Self {
            game: 0.0,
            recent: [0.0; RECENT],
            tickless_interval: 0.0,
            frames_with_tick: FRAMES_WITH_TICK,
            confidence: 1.0,
        }
    }
}

impl AdaptiveBudget {
    /// Learns from a frame.
    pub(crate) fn learn(&mut self, frame: Frame, timestep: Duration) {
        let timestep = timestep.as_secs_f64();
        let interval = frame.interval.as_secs_f64();
        // A hitch, such as a level that loads, is no reason to stop for long.
        let game = frame.work.saturating_sub(frame.ours).as_secs_f64().min(timestep);
        self.recent.rotate_right(1);
        self.recent[0] = game;
        let usual = self.usual_game();
        self.game = usual.max(self.game + (usual - self.game) * DECAY);
        if frame.ticks > 0 {
            self.frames_with_tick = self.frames_with_tick.saturating_add(1);
        } else {
            let weight = if self.has_tickless_frames() { DECAY } else { 1.0 };
            self.tickless_interval += (interval - self.tickless_interval) * weight;
            self.frames_with_tick = 0;
        }
        if frame.ticks > 0 && interval > self.frame_time(timestep) * LATE {
            self.confidence = (self.confidence * CUT).max(LEAST_CONFIDENCE);
        } else {
            self.confidence = (self.confidence + RECOVERY).min(1.0);
        }
    }

    /// What the next tick may take.
    pub(crate) fn budget(&self, timestep: Duration) -> Duration {
        let timestep = timestep.as_secs_f64();
        let free = (self.frame_time(timestep) - self.game).max(0.0);
        let granted = (free * SHARE * self.confidence).min(timestep * MOST);
        Duration::from_secs_f64(granted).max(LEAST)
    }

    /// What the game took of the second slowest of the last frames.
    fn usual_game(&self) -> f64 {
        let mut sorted = self.recent;
        sorted.sort_by(f64::total_cmp);
        sorted[RECENT - 2]
    }

    /// The time that a frame should take, waiting included.
    fn frame_time(&self, timestep: f64) -> f64 {
        if self.has_tickless_frames() { self.tickless_interval.min(timestep) } else { timestep }
    }

    /// Whether there are more frames than ticks.
    fn has_tickless_frames(&self) -> bool {
        self.frames_with_tick < FRAMES_WITH_TICK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMESTEP: Duration = Duration::from_nanos(16_666_667);

    fn ms(ms: f64) -> Duration {
        Duration::from_secs_f64(ms / 1e3)
    }

    /// Seconds of a game that takes `game` of each frame, and so long from frame to frame.
    struct Game {
        budget: AdaptiveBudget,
    }

    impl Game {
        fn new() -> Self {
            Self { budget: AdaptiveBudget::default() }
        }

        /// A frame that has a tick takes all it is granted.
        fn frame(&mut self, interval: f64, game: f64, ticks: u32) {
            let ours = self.granted() * ticks;
            let frame = Frame { interval: ms(interval), work: ms(game) + ours, ours, ticks };
            self.budget.learn(frame, TIMESTEP);
        }

        fn frames(&mut self, count: u32, interval: f64, game: f64) -> Duration {
            (0..count).for_each(|_| self.frame(interval, game, 1));
            self.granted()
        }

        fn granted(&self) -> Duration {
            self.budget.budget(TIMESTEP)
        }
    }

    #[test]
    fn a_game_that_does_little_leaves_most_of_the_frame() {
        let granted = Game::new().frames(600, 16.7, 0.1);
        assert!((ms(9.0)..=ms(10.1)).contains(&granted), "{granted:?}");
    }

    #[test]
    fn a_busy_game_gets_its_time_after_two_frames_and_leaves_it_again_soon() {
        let mut game = Game::new();
        game.frames(600, 16.7, 0.1);
        let granted = game.frames(2, 16.7, 12.0);
        assert!((ms(2.5)..ms(3.5)).contains(&granted), "{granted:?}");
        let granted = game.frames(120, 16.7, 2.0);
        assert!(granted > ms(8.0), "{granted:?}");
    }

    #[test]
    fn a_game_without_time_to_spare_leaves_the_least() {
        assert_eq!(Game::new().frames(600, 16.7, 16.6), LEAST);
        let mut game = Game::new();
        (0..300).for_each(|_| {
            game.frame(16.7, 16.6, 1);
            game.frame(16.7, 1.0, 1);
        });
        assert_eq!(game.granted(), LEAST, "every other frame is not the exception");
        assert_eq!(Game::new().frames(600, 40.0, 40.0), LEAST);
    }

    #[test]
    fn late_frames_cut_back_even_if_the_game_seems_to_have_time_and_frames_in_time_give_back() {
        let mut game = Game::new();
        let before = game.frames(60, 16.7, 2.0);
        let after = game.frames(6, 25.0, 2.0);
        assert!(after < before.mul_f64(0.4), "{before:?}, then {after:?}");
        assert!(game.frames(600, 33.4, 2.0) > LEAST, "30 frames a second need not be our fault");
        assert_eq!(game.frames(600, 16.7, 2.0), before);
    }

    #[test]
    fn at_a_high_frame_rate_a_tick_fits_into_its_short_frame() {
        let mut game = Game::new();
        for frame in 0..600 {
            game.frame(6.9, 2.0, u32::from(frame % 5 % 2 == 0 && frame % 5 < 4));
        }
        let granted = game.granted();
        assert!((ms(2.0)..ms(4.9)).contains(&granted), "{granted:?}");
        // Without vertical synchronisation there is no free time.
        let mut game = Game::new();
        for frame in 0..600 {
            game.frame(2.1, 2.0, u32::from(frame % 8 == 0));
        }
        assert_eq!(game.granted(), LEAST);
    }

    #[test]
    fn one_hitch_now_and_then_takes_little() {
        let mut game = Game::new();
        let before = game.frames(60, 16.7, 3.0);
        game.frame(2_000.0, 1_990.0, 2);
        assert!(game.granted() > before.mul_f64(0.7), "it was late, and that is all");
        game.frames(2, 16.7, 3.0);
        game.frame(2_000.0, 1_990.0, 2);
        assert_eq!(game.granted(), LEAST, "two of four are no exception");
        assert!(game.frames(60, 16.7, 3.0) > before.mul_f64(0.8));
    }
}
