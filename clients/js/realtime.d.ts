// Types of realtime.js, kept by hand; `npm run lint` checks that the code implements them.

/** `disconnected`: it tries again by itself. `closed`: it does not, ever. */
export type State = 'connecting' | 'connected' | 'disconnected' | 'closed';

/** Why the connection is gone, in the states `disconnected` and `closed`. */
export interface StateInfo {
  /** The close code, where the server gave one; docs/protocol.md lists them. */
  code?: number;
  reason?: string;
  /** Milliseconds until the next attempt. Infinite while the page is in the back/forward cache. */
  retryIn?: number;
}

/** What was broadcast to a channel, as it came over the wire. */
export interface Publication {
  channel: string;
  data: any;
  /** The name that the application gave it. */
  event?: string;
}

/** What was sent to this connection only, or to all connections of its user. */
export interface Message {
  data: any;
  event?: string;
  /** True when it went to all connections of the user. */
  user?: boolean;
}

export interface Options {
  /** Who this is. Without tokens the server believes it only under `insecure_identity`. */
  userId?: string | number;
  /** The shortest and the longest wait (ms) before connecting again: 300 and 20,000. */
  backoff?: { min?: number; max?: number };
  /** How long (ms) the server may take to greet, and to answer a ping: 10,000. */
  timeout?: number;
}

export type RealtimeEvents = {
  /** The connection changed. */
  state: [state: State, info: StateInfo];
  /** Something was sent to this connection or to its user. */
  message: [data: any, message: Message];
  /** Something was refused, and no listener of a subscription took it. */
  error: [error: RealtimeError];
};

export type SubscriptionEvents = {
  /** The subscription stands; again after every reconnect. */
  subscribed: [];
  /** The server refused it. It is tried again after the next reconnect. */
  error: [error: RealtimeError];
};

/** Something was refused or went wrong; the connection itself goes on. */
export interface RealtimeError extends Error {
  /** One of the server's error codes, or `anonymous`, `bad_message`, `closed`. */
  code: string;
  channel?: string;
}

/** One listener's interest in one channel. */
export interface Subscription {
  readonly channel: string;
  /** Ends it. The callback is not called any more, not even for what has arrived already. */
  unsubscribe(): void;
  /** Adds a listener; the function returned removes it. */
  on<Name extends keyof SubscriptionEvents>(
    name: Name,
    callback: (...args: SubscriptionEvents[Name]) => void,
  ): () => void;
}

/** A connection that restores itself and its subscriptions until it is closed. */
export class Realtime {
  /** Connects at once to `url`, such as `wss://example.org/`; a relative one is meant relative to the page. */
  constructor(url: string | URL, options?: Options);
  readonly state: State;
  /** The id by which PHP can exclude or address this connection; null while there is none. A new one each time. */
  readonly connectionId: string | null;
  /** The user that the server takes this connection for. */
  readonly user: string | null;
  /** Calls `callback` for everything broadcast to `channel` from now on, over all reconnects. */
  subscribe(channel: string, callback: (data: any, publication: Publication) => void): Subscription;
  /** Adds a listener; the function returned removes it. */
  on<Name extends keyof RealtimeEvents>(name: Name, callback: (...args: RealtimeEvents[Name]) => void): () => void;
  /** Ends the connection and all subscriptions, for good. */
  close(): void;
}
