//! What must hold between values, and what is allowed but probably not meant.

use super::load::Layer;
use super::mistake::Mistake;
use super::units::show_size;
use crate::rules::Subscribe;

/// Room for the frame around a publication.
const ENVELOPE: usize = 1 << 10;

pub(super) fn all(layer: &mut Layer) {
    let config = &layer.config;
    if config.dev && !config.listen.ip().is_loopback() {
        let message = format!(
            "dev admits publishers without a key, so it does not go with listen = \"{}\", which others can reach; use \
             127.0.0.1, or a publisher key instead of dev",
            config.listen
        );
        mistake(layer, &["listen", "dev"], message);
    }
    let config = &layer.config;
    if config.echo && !config.listen.ip().is_loopback() {
        let message = format!(
            "echo is for tests on this machine and does not go with listen = \"{}\", which others can reach; use \
             127.0.0.1, or leave echo out",
            config.listen
        );
        mistake(layer, &["listen", "echo"], message);
    }
    let config = &layer.config;
    if config.outbox_max < config.max_publication + ENVELOPE {
        let message = format!(
            "outbox_max is {}, too little for one publication of max_publication, {}; make it at least {}",
            show_size(config.outbox_max),
            show_size(config.max_publication),
            show_size(config.max_publication + ENVELOPE),
        );
        mistake(layer, &["outbox_max", "max_publication"], message);
    }
    let config = &layer.config;
    if config.data_dir.is_none() {
        let message = "history.store = \"disk\" needs data_dir, as in data_dir = \"/var/lib/realtime\"";
        let places: Vec<_> = (config.channels.iter().zip(&layer.rules_at))
            .filter(|(rule, _)| rule.stream.is_on_disk())
            .map(|(_, place)| Some(place.clone()))
            .chain(config.users.is_on_disk().then_some(None))
            .collect();
        layer.mistakes.extend(places.into_iter().map(|place| Mistake { place, message: message.to_owned() }));
    }
    rules(layer);
}

/// A mistake in what the keys say together, placed where the first of them was set.
fn mistake(layer: &mut Layer, keys: &[&str], message: String) {
    let place = keys.iter().find_map(|key| layer.set_by.get(key)).cloned();
    layer.mistakes.push(Mistake { place, message });
}

fn rules(layer: &mut Layer) {
    for (index, (rule, place)) in layer.config.channels.iter().zip(&layer.rules_at).enumerate() {
        let pattern = rule.pattern.as_str();
        if let Some(first) = layer.config.channels[..index].iter().position(|other| other.pattern.covers(&rule.pattern))
        {
            let number = first + 1;
            layer
                .warnings
                .push(format!("{place}: the rule for {pattern:?} never counts, since rule {number} comes first"));
        } else if rule.pattern.is_protected() && rule.subscribe < Subscribe::Token {
            layer.warnings.push(format!(
                "{place}: {pattern:?} needs a token whatever the rule says, because of how it begins; this version \
                 accepts no tokens, so it admits nobody"
            ));
        } else if rule.subscribe == Subscribe::Token {
            layer.warnings.push(format!(
                "{place}: subscribe = \"token\" for {pattern:?} admits nobody, since this version accepts no tokens"
            ));
        }
    }
}
