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

/** A place in a channel's history: the last publication that somebody has. */
export interface Position {
  /** Which life of the server's store; offsets of different ones are not comparable. */
  epoch: string;
  offset: number;
}

/** After what a subscription begins. `earliest`: with everything that the history holds. */
export type Since = Position | 'earliest';

/** What was broadcast to a channel, as it came over the wire. */
export interface Publication {
  channel: string;
  data: any;
  /** The name that the application gave it. */
  event?: string;
  /** Its place in the channel's history, if it has one. */
  offset?: number;
  /** Stands for the application's idempotency key. */
  id?: string;
  /** Who published it, if that was a page; what PHP publishes has none. */
  user?: string;
}

/** What was sent to this connection only, or to all connections of its user. */
export interface Message {
  data: any;
  event?: string;
  /** True when it went to all connections of the user. */
  user?: boolean;
  /** Its place in the user's history, if there is one. */
  offset?: number;
  id?: string;
}

/** Something is gone for good: the page has to load its state again. */
export interface Missed {
  /** The channel, or `user` when it is about messages to the user. */
  channel?: string;
  user?: true;
  /**
   * `epoch`: the server's history is another one now. `trimmed`: it does not reach back so far. `ahead`: the position is
   * none of this history. `no_history`: there is none. `gap`: it did not come. Others: as the server says.
   */
  reason?: string;
  /** The first and the last offset that are gone, where they are known. */
  from?: number;
  to?: number;
  /** How many are gone, in a channel without history. */
  count?: number;
}

/** Who is in a channel. */
export interface Member {
  user: string;
  /** What the user's token says about the user. */
  info: any;
  /** With so many connections, at the time of the question. */
  connections?: number;
}

/** How a subscription stands. */
export interface Standing {
  /** Whether everything since the position that the subscription had is there, or follows. Absent: it had none. */
  recovered?: boolean;
  /** Why not. */
  reason?: string;
  /** In channels with presence: who is in, by user. The same list as `Subscription.members`. */
  members?: ReadonlyMap<string, { info: any }>;
  /** Whether `members` names everybody, or `presence()` has to be asked for the rest. */
  complete?: boolean;
}

/** A part of a channel's history. */
export interface History {
  publications: { offset: number; event?: string; data: any; id?: string }[];
  /** The oldest offset that is kept, and the newest. */
  oldest: number;
  top: number;
  /** Null: the channel has no history. */
  epoch: string | null;
  /** Where the next part begins, if there is one: the `since` of the next call. */
  next?: Position;
}

/** A JSON Web Token, or none (null, undefined, ''), or what has one: `{token}`, the response of a `fetch()`. */
export type TokenAnswer = string | null | undefined | { token?: string | null } | Response;

/** A token, or what brings one whenever another one is needed. */
export type TokenSource = string | (() => TokenAnswer | Promise<TokenAnswer>);

export interface Options {
  /** Says who this is, signed by PHP's `connectionToken()`. */
  token?: TokenSource | null;
  /** Brings a token for a channel that the server does not let this page subscribe to without one. */
  channelToken?: (channel: string) => TokenAnswer | Promise<TokenAnswer>;
  /** Who this is, without a token: believed only under `insecure_identity`. */
  userId?: string | number;
  /** From where messages to the user are wanted, in a server that keeps them. */
  userSince?: Since;
  /** Whether positions survive a reload of the page, in sessionStorage. */
  persist?: boolean;
  /** The shortest and the longest wait (ms) before connecting again: 300 and 20,000. */
  backoff?: { min?: number; max?: number };
  /** How long (ms) the server may take to greet, and to answer a ping: 10,000. */
  timeout?: number;
}

export interface SubscribeOptions {
  /** From where publications are wanted, in a channel with history; from now on, if absent. */
  since?: Since | null;
  /** `latest`: of what was missed, the newest publication is enough. */
  mode?: 'stream' | 'latest';
  /** Opens this channel for this user, made by PHP's `channelToken()`. */
  token?: TokenSource | null;
}

export interface PublishOptions {
  /** A name for the publication. */
  event?: string;
  /** Whether this connection shall not get it. */
  excludeSelf?: boolean;
}

/** The server has taken a publication. */
export interface Ack {
  /** Connections that it was queued for. */
  receivers: number;
  /** Its place in the channel's history, if there is one. */
  position?: Position;
}

export type RealtimeEvents = {
  /** The connection changed. */
  state: [state: State, info: StateInfo];
  /** Something was sent to this connection or to its user. */
  message: [data: any, message: Message];
  /** Messages to the user are gone for good; or publications are, and their subscription does not listen. */
  missed: [missed: Missed];
  /** Something was refused, and no listener of a subscription took it. */
  error: [error: RealtimeError];
};

export type SubscriptionEvents = {
  /** The subscription stands; again after every reconnect, and when it had to be renewed. */
  subscribed: [standing: Standing];
  /** Something is gone for good. */
  missed: [missed: Missed];
  /** A user came, with the first connection; a user left, with the last. */
  join: [member: Member];
  leave: [member: Member];
  /** The server refused or ended it. It is tried again after the next reconnect. */
  error: [error: RealtimeError];
};

/** Something was refused or went wrong; the connection itself goes on. */
export interface RealtimeError extends Error {
  /** One of the server's error codes, or `anonymous`, `bad_message`, `closed`, `token_failed`, `unsubscribed`. */
  code: string;
  channel?: string;
}

/** One listener's interest in one channel. */
export interface Subscription {
  readonly channel: string;
  /** Up to where the callback has been called; null in channels without history, and until `subscribed`. */
  readonly position: Position | null;
  /** Who is in, by user, kept up to date; null in channels without presence, and until `subscribed`. */
  readonly members: ReadonlyMap<string, { info: any }> | null;
  /** Ends it. The callback is not called any more, not even for what has arrived already. */
  unsubscribe(): void;
  /** Adds a listener; the function returned removes it. */
  on<Name extends keyof SubscriptionEvents>(
    name: Name,
    callback: (...args: SubscriptionEvents[Name]) => void,
  ): () => void;
  /** The same as `on('missed', callback)`. */
  onMissed(callback: (missed: Missed) => void): () => void;
  /** Asks for what the channel's history holds after `since`; without it, for the newest. */
  history(query?: { since?: Since | null; limit?: number }): Promise<History>;
  /** Asks for everybody who is in. */
  presence(): Promise<Member[]>;
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
  /** Up to where messages to the user have come; null unless the server keeps them. */
  readonly userPosition: Position | null;
  /** Calls `callback` for everything broadcast to `channel` from now on, or after `since`, over all reconnects. */
  subscribe(
    channel: string,
    callback: (data: any, publication: Publication) => void,
    options?: SubscribeOptions,
  ): Subscription;
  /**
   * Publishes, in channels whose rule lets pages do so. What was not acknowledged when the connection broke is sent
   * again on the next one, and has its effect once. Rejects with a `RealtimeError` when it is refused.
   */
  publish(channel: string, data: any, options?: PublishOptions): Promise<Ack>;
  /** Adds a listener; the function returned removes it. */
  on<Name extends keyof RealtimeEvents>(name: Name, callback: (...args: RealtimeEvents[Name]) => void): () => void;
  /** Ends the connection and all subscriptions, for good. */
  close(): void;
}
