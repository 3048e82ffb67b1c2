/**
 * The order board. AJAX to PHP changes things; what PHP broadcasts shows them in every window.
 *
 * Whatever arrives is put in by textContent (see `element`), so a guest called <b>Bobby</b> is just oddly named.
 * Each order carries a version, so it does not matter whether a broadcast or the answer to a request comes first.
 */
import { arrange, element, money, moment, slide, toast } from './view.js';

const STATUS = { new: 'New', making: 'In the making', ready: 'Ready', done: 'Handed over' };
const NEXT = { new: 'Start', making: 'Finish', ready: 'Hand over' };
const DONE_SHOWN = 6;

const $ = (selector) => document.querySelector(selector);
const server = $('meta[name=realtime]').content;

/** By id. */
const orders = new Map();
/** Invoices that this window ordered, by order: `{job, percent}`. */
const jobs = new Map();
/** The cards on the board, by order: `{order, job, node}`. */
const cards = new Map();
/** The lists that hold them, by status. */
const lists = new Map();
/** The order whose details are open: `{id, events, subscription}`. */
let details = null;
/** The realtime client, once it has been loaded. */
let rt = null;

// AJAX

async function api(body, query = '') {
  const response = await fetch(`api.php${query}`, body && { method: 'POST', body: JSON.stringify(body) });
  const answer = await response.json().catch(() => ({ error: `The application failed (${response.status}).` }));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

/** Runs what a click asks for, and tells the person when it fails. */
async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    toast(error instanceof TypeError ? 'The application cannot be reached.' : error.message);
  }
}

async function change(body) {
  const { order, live } = await api(body);
  take(order);
  if (!live) toast('Saved. Other windows will show it when the realtime server is back.');
}

/** Returns the board's position before that state: what follows it comes by broadcast. */
async function load() {
  const { position, orders: all } = await api();
  for (const order of all) orders.set(order.id, newer(order));
  draw();
  return position;
}

async function loadDetails() {
  const { id } = details;
  const { position, order, events } = await api(null, `?order=${id}`);
  take(order);
  if (details?.id === id) for (const event of events) addEvent(event);
  return position;
}

// What is known

function newer(order) {
  const known = orders.get(order.id);
  return known && known.version >= order.version ? known : order;
}

function take(order) {
  const known = orders.get(order.id);
  if (known && known.version >= order.version) return;
  orders.set(order.id, order);
  draw();
  document.getElementById(`order-${order.id}`)?.classList.add('changed');
}

function addEvent(event) {
  if (!details || details.events.some(({ version }) => version === event.version)) return;
  details.events.push(event);
  details.events.sort((a, b) => a.version - b.version);
  drawDetails();
}

// Drawing

function drawColumns() {
  const columns = Object.entries(STATUS).map(([status, title]) => {
    const list = element('ul');
    lists.set(status, list);
    return element('section', { className: 'column', 'data-status': status }, [
      element('h2', {}, [title, element('span', {}, [0])]),
      list,
      element('p', { className: 'empty' }, ['Nothing here']),
    ]);
  });
  $('#board').replaceChildren(...columns);
}

function draw() {
  const listed = [...orders.values()];
  const done = listed.filter(({ status }) => status === 'done').sort((a, b) => b.changed - a.changed || b.id - a.id);
  for (const { id } of done.slice(DONE_SHOWN)) orders.delete(id);
  const focused = document.activeElement?.id;
  slide('.card', () => {
    for (const [status, list] of lists) {
      const here = status === 'done' ? done.slice(0, DONE_SHOWN) : listed.filter((order) => order.status === status);
      arrange(list, here.map(cardOf));
      list.parentElement.querySelector('h2 span').textContent = String(here.length);
    }
  });
  for (const id of cards.keys()) if (!orders.has(id)) cards.delete(id);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  drawDetails();
}

/** The order's card: the one on the board as long as it is still right, so that no click that began on it is lost. */
function cardOf(order) {
  const job = jobs.get(order.id);
  const known = cards.get(order.id);
  if (known && known.order === order && known.job === job) return known.node;
  const node = card(order);
  cards.set(order.id, { order, job, node });
  return node;
}

function card(order) {
  // Each with an id, by which the focus finds it again when the board is drawn anew.
  const button = (kind, text, onclick) =>
    element('button', { type: 'button', id: `${kind}-${order.id}`, className: kind, onclick }, [text]);
  return element('li', { id: `order-${order.id}`, className: 'card', 'data-status': order.status }, [
    element('header', {}, [
      element('h3', {}, [button('open', order.guest, () => showDetails(order.id))]),
      element('span', { className: 'number' }, [`#${order.id}`]),
    ]),
    element('p', { className: 'items' }, [
      order.items.map(({ count, name }) => `${count} × ${name}`).join(', '),
      element('span', {}, [money(order.total)]),
    ]),
    element('footer', {}, [
      NEXT[order.status] && button('next', NEXT[order.status], () => moveOn(order)),
      !jobs.has(order.id) && button('invoice', 'Invoice', () => prepareInvoice(order.id)),
    ]),
    jobs.has(order.id) && progress(order.id),
  ]);
}

function progress(id) {
  const { percent } = jobs.get(id);
  return element('div', { className: 'job' }, [
    percent < 100
      ? element('span', {}, ['Preparing the invoice'])
      : element('a', { href: `invoice.php?order=${id}`, target: '_blank' }, ['Open the invoice']),
    element('span', {}, [`${percent} %`]),
    percent < 100 && element('progress', { max: 100, value: percent, 'aria-label': 'Preparing the invoice' }),
  ]);
}

/** Only the bar moves, so that the board is not drawn anew with each step. */
function drawProgress(id) {
  document.querySelector(`#order-${id} .job`)?.replaceWith(progress(id));
}

function drawDetails() {
  const order = details && orders.get(details.id);
  if (!order) return;
  const lines = order.items.map(({ count, name, price }) => [`${count} × ${name}`, money(count * price)]);
  const row = ([label, value]) => element('li', {}, [element('span', {}, [label]), element('span', {}, [value])]);
  const step = ({ status, at }) =>
    element('li', { 'data-status': status }, [
      element('span', {}, [STATUS[status]]),
      element('time', {}, [moment(at)]),
    ]);
  $('#details').replaceChildren(
    element('header', {}, [
      element('h2', { id: 'details-title' }, [order.guest, element('small', {}, [`Order #${order.id}`])]),
      element('button', { type: 'button', onclick: () => $('#details').close() }, ['Close']),
    ]),
    element('ul', { className: 'lines' }, [...lines, ['Total', money(order.total)]].map(row)),
    element('ol', { className: 'steps' }, details.events.map(step)),
  );
}

function drawCount(viewers) {
  $('#viewers').hidden = viewers < 1;
  $('#viewers').textContent = viewers === 1 ? 'Just you' : `${viewers} watching`;
}

function setLight(state) {
  const words = { connecting: 'Connecting', connected: 'Live', reconnecting: 'Reconnecting', offline: 'Offline' };
  $('#light').dataset.state = state;
  $('#light span').textContent = words[state];
}

// What people do

function moveOn({ id, status }) {
  return attempt(() => change({ action: 'advance', order: id, from: status }));
}

function prepareInvoice(order) {
  return attempt(async () => {
    // PHP addresses the progress to this connection; every other window hears nothing of it.
    const { job } = await api({ action: 'invoice', order, connection: rt?.connectionId ?? '' });
    jobs.set(order, { job, percent: 0 });
    draw();
  });
}

async function showDetails(id) {
  const shown = { id, events: [], subscription: null };
  details = shown;
  drawDetails();
  $('#details').showModal();
  const position = await attempt(loadDetails);
  if (rt && details === shown) shown.subscription ??= followOrder(id, position);
}

$('#details').addEventListener('close', () => {
  details?.subscription?.unsubscribe();
  details = null;
});
$('#details').addEventListener('click', (event) => event.target === event.currentTarget && event.target.close());
$('#hint button').addEventListener('click', () => $('#hint').remove());
$('#add').addEventListener('submit', (event) => {
  event.preventDefault();
  const { guest } = event.target.elements;
  attempt(() => change({ action: 'add', guest: guest.value })).then(() => (guest.value = ''));
});

// What the realtime server sends

/** From the position before the state that is shown, so that nothing falls in between. */
function followBoard(since) {
  const board = rt.subscribe('board', take, { since });
  const drawViewers = () => drawCount(board.members?.size ?? 0);
  board.on('subscribed', ({ recovered }) => {
    drawViewers();
    if (recovered === undefined) attempt(load);
  });
  board.on('join', drawViewers);
  board.on('leave', drawViewers);
  // After a crash of the server, for example: the database has it all.
  board.onMissed(() => attempt(load));
}

function followOrder(id, since) {
  const subscription = rt.subscribe(`orders.${id}`, addEvent, { since });
  subscription.on('subscribed', ({ recovered }) => recovered === undefined && attempt(loadDetails));
  subscription.onMissed(() => attempt(loadDetails));
  return subscription;
}

function onMessage({ job, percent }, { event }) {
  const [order] = [...jobs].find(([, known]) => known.job === job) ?? [];
  if (event !== 'invoice' || order === undefined) return;
  jobs.get(order).percent = percent;
  drawProgress(order);
}

function onState(state) {
  if (state === 'connected') {
    setLight('connected');
    followJobs();
  } else {
    drawCount(0);
    setLight(state === 'closed' || !navigator.onLine ? 'offline' : 'reconnecting');
  }
}

/** The connection is a new one: jobs that still run must know it. */
function followJobs() {
  for (const [order, known] of jobs) {
    if (known.percent >= 100) continue;
    attempt(async () => {
      const { percent } = await api({ action: 'follow', job: known.job, connection: rt?.connectionId ?? '' });
      known.percent = Math.max(known.percent, percent);
      drawProgress(order);
    });
  }
}

/** The client comes from the realtime server itself; while that is down, the page works on without it. */
async function goLive(since, attempts = 0) {
  try {
    // A failed import stays failed under its address, so each try has its own.
    const { Realtime } = await import(`http:${server}/realtime.js${attempts ? `?again=${attempts}` : ''}`);
    // A name for this window, so that the others can count it. A real application has users, and tokens for them.
    rt = new Realtime(`ws:${server}`, { userId: `window-${Math.random().toString(36).slice(2)}` });
  } catch {
    setLight('offline');
    setTimeout(goLive, 2000, since, attempts + 1);
    return;
  }
  rt.on('state', onState);
  rt.on('message', onMessage);
  followBoard(since);
  if (details && !details.subscription) details.subscription = followOrder(details.id);
}

addEventListener('offline', () => setLight('offline'));
addEventListener('online', () => rt && onState(rt.state));
drawColumns();
attempt(load);
goLive();
