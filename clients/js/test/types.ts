/** Never run: `npm run lint` compiles it, as an application's code would be. */
import { Realtime, type Publication, type RealtimeError, type State, type Subscription } from '../realtime.js';

const rt = new Realtime(new URL('wss://example.org/'), { userId: 7, backoff: { max: 5_000 }, timeout: 3_000 });
const sub: Subscription = rt.subscribe('orders.42', (data: { total: number }, publication: Publication) => {
  console.log(data.total.toFixed(2), publication.event?.toUpperCase());
});
const remove: () => void = sub.on('error', (error: RealtimeError) => console.log(error.code, error.channel));
sub.on('subscribed', () => remove());
sub.unsubscribe();
rt.on('state', (state: State, info) => console.log(state, info.retryIn?.toFixed(), info.code));
rt.on('message', (data, message) => console.log(data, message.user === true));
rt.on('error', (error) => console.log(error.code.length, error.stack));
const connection: string | null = rt.connectionId;
console.log(connection, rt.user, sub.channel.length, rt.state === 'closed');
rt.close();

// @ts-expect-error There is no such event.
rt.on('mesage', () => {});
// @ts-expect-error There is no such state.
console.log(rt.state === 'open');
// @ts-expect-error The state is for reading.
rt.state = 'closed';
