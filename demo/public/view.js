/** Small things that the page is drawn with. */

/**
 * An element. Strings become text, never markup; falsy children are left out.
 *
 * @param {string} tag
 * @param {Record<string, unknown>} properties data-… and aria-… are attributes
 * @param {(Node | string | number | false | undefined)[]} children
 */
export function element(tag, properties = {}, children = []) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes('-')) node.setAttribute(name, String(value));
    else node[name] = value;
  }
  for (const child of children) {
    if (child instanceof Node) node.append(child);
    else if (child || child === 0) node.append(document.createTextNode(String(child)));
  }
  return node;
}

/**
 * Makes `nodes` the children of `list`. Those that are there already stay where they are: a node that is taken out, if
 * only to be put back, loses the click that has begun on it.
 */
export function arrange(list, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...list.children]) if (!wanted.has(child)) child.remove();
  for (const [at, node] of nodes.entries()) {
    if (list.children[at] !== node) list.insertBefore(node, list.children[at] ?? null);
  }
}

const euros = new Intl.NumberFormat('en', { style: 'currency', currency: 'EUR' });
const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });

/** @param {number} cents */
export const money = (cents) => euros.format(cents / 100);

/** @param {number} seconds since 1970 */
export const moment = (seconds) => clock.format(seconds * 1000);

/** Changes the page by `change`; elements with an id that it moved slide from where they were. */
export function slide(selector, change) {
  const all = () => [...document.querySelectorAll(selector)];
  const before = new Map(all().map((node) => [node.id, node.getBoundingClientRect()]));
  change();
  if (matchMedia('(prefers-reduced-motion: reduce)').matches || !before.size) return;
  for (const node of all()) {
    const was = before.get(node.id);
    const is = node.getBoundingClientRect();
    if (!was) {
      node.animate([{ opacity: 0, transform: 'scale(.96)' }, {}], { duration: 250, easing: 'ease-out' });
    } else if (was.x !== is.x || was.y !== is.y) {
      const from = `translate(${was.x - is.x}px, ${was.y - is.y}px)`;
      node.animate([{ transform: from }, {}], { duration: 350, easing: 'cubic-bezier(.2, .8, .2, 1)' });
    }
  }
}

let hiding;

/** Says something for some seconds. */
export function toast(text) {
  const node = document.querySelector('#toast');
  node.textContent = text;
  node.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => (node.hidden = true), 4000);
}
