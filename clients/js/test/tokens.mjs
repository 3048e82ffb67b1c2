/** Tokens for tests, and pages whose client gets them as the test says. */
import { createHmac } from 'node:crypto';
import { connect } from './site.mjs';

const base64url = (json) => Buffer.from(JSON.stringify(json)).toString('base64url');

/** A token as PHP makes it; signed with `secret`, which a fake server does not look at. */
export function tokenOf(sub, claims = {}, secret = 'none') {
  const iat = Math.floor(Date.now() / 1_000);
  const signed = `${base64url({ alg: 'HS256', typ: 'JWT' })}.${base64url({ sub, iat, exp: iat + 3_600, ...claims })}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** Whose a token is. */
export const userOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString()).sub;

/**
 * As `connect`, with a `token` function that brings `window.answers` one after the other, the last one for ever, and counts
 * in `window.asked` how often it was asked. An answer with `status` becomes a response, `{fails}` is thrown, and `'held'`
 * comes when the test calls `window.bring(answer)`. `channelAnswers` do the same for `channelToken`.
 */
export async function connectWith(page, url, { answers, channelAnswers, ...options }) {
  await page.run(
    (tokens, channelTokens) => {
      Object.assign(window, { answers: tokens, channelAnswers: channelTokens, asked: 0, channelsAsked: [] });
      window.next = (list) => {
        const answer = list.length > 1 ? list.shift() : list[0];
        if (answer?.fails) throw new Error(answer.fails);
        if (answer === 'held') return new Promise((resolve) => (window.bring = resolve));
        return answer?.status ? new window.Response(answer.body ?? null, { status: answer.status }) : answer;
      };
    },
    answers ?? null,
    channelAnswers ?? null,
  );
  await connect(page, url, options);
}
