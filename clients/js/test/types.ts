/** Never run: `npm run lint` compiles it, as an application's code would be. */
import {
  Realtime,
  type Ack,
  type History,
  type Member,
  type Missed,
  type Position,
  type Publication,
  type RealtimeError,
  type State,
  type Subscription,
} from '../realtime.js';

const rt = new Realtime(new URL('wss://example.org/'), { userId: 7, backoff: { max: 5_000 }, timeout: 3_000 });
const sub: Subscription = rt.subscribe('orders.42', (data: { total: number }, publication: Publication) => {
  console.log(data.total.toFixed(2), publication.event?.toUpperCase(), publication.offset?.toFixed());
});
const remove: () => void = sub.on('error', (error: RealtimeError) => console.log(error.code, error.channel));
sub.on('subscribed', () => remove());
sub.unsubscribe();
rt.on('state', (state: State, info) => console.log(state, info.retryIn?.toFixed(), info.code));
rt.on('message', (data, message) => console.log(data, message.user === true));
rt.on('error', (error) => console.log(error.code.length, error.stack));
const connection: string | null = rt.connectionId;
console.log(connection, rt.user, sub.channel.length, rt.state === 'closed');

const since: Position | null = sub.position;
const kept = new Realtime('/realtime', { persist: true, userSince: 'earliest' });
const room = kept.subscribe('room', () => {}, { since, mode: 'latest' });
room.on('subscribed', ({ recovered, reason, members, complete }) => {
  console.log(recovered === false && reason, members?.size, complete);
});
room.onMissed((missed: Missed) => console.log(missed.reason, missed.from, missed.to, missed.count));
room.on('join', (member: Member) => console.log(member.user, room.members?.get(member.user)?.info));
const part: Promise<History> = room.history({ since: 'earliest', limit: 10 });
part.then(({ publications, next }) => room.history({ since: next }).then(() => publications.length));
room.presence().then((members) => members.map(({ user, connections }) => [user, connections]));
kept.on('missed', ({ channel, user }) => console.log(channel, user, kept.userPosition?.offset));
const known = new Realtime('/realtime', {
  token: () => fetch('/token.php'),
  channelToken: async (channel) => ({ token: channel && null }),
});
known.subscribe('orders.42', (_, { user }) => console.log(user?.length), { token: null });
known.subscribe('orders.43', () => {}, { token: async () => 'a.b.c' });
const ack: Promise<Ack> = known.publish('chat', { text: 'hi' }, { event: 'said', excludeSelf: true });
ack.then(({ receivers, position }) => known.subscribe('chat', () => receivers, { since: position }));
rt.close();

// @ts-expect-error There is no such event.
rt.on('mesage', () => {});
// @ts-expect-error There is no such state.
console.log(rt.state === 'open');
// @ts-expect-error The state is for reading.
rt.state = 'closed';
// @ts-expect-error The list is kept by the client.
room.members?.clear();
// @ts-expect-error A token is text.
new Realtime('/realtime', { token: 7 });
// @ts-expect-error An offset alone is no position.
rt.subscribe('room', () => {}, { since: { offset: 3 } });
