<?php

declare(strict_types=1);

// What the page's AJAX calls: GET reads, POST {"action": …} changes. Answers JSON; failures are {"error": "…"} with 4xx.

require __DIR__ . '/../src/bootstrap.php';

/** A request that cannot be carried out; the message is for the person at the page. */
final class Refused extends Exception {}

/**
 * Cross-site request forgery: only this application's own pages may change anything. Browsers name the page that sends a
 * POST in Origin, and no page can forge it; a request without one does not come from a page.
 */
function checkSameOrigin(): void
{
    $origin = $_SERVER['HTTP_ORIGIN'] ?? null;
    if ($origin !== null && preg_replace('~^https?://~', '', $origin) !== ($_SERVER['HTTP_HOST'] ?? '')) {
        throw new Refused('This request comes from another site.', 403);
    }
}

function text(array $input, string $field, int $max, string $default = ''): string
{
    $value = $input[$field] ?? $default;
    if (!is_string($value) || strlen($value) > $max) {
        throw new Refused("“{$field}” must be a text of at most $max bytes.", 400);
    }
    return trim($value);
}

function order(Board $board, mixed $id): array
{
    $id = filter_var($id, FILTER_VALIDATE_INT);
    return ($id === false ? null : $board->order($id)) ?? throw new Refused('There is no such order.', 404);
}

function connection(array $input): string
{
    return text($input, 'connection', 64) ?: throw new Refused('This window is not connected.', 400);
}

function read(Board $board): array
{
    $live = new Live();
    if (!isset($_GET['order'])) {
        return ['position' => $live->position('board'), 'orders' => $board->orders()];
    }
    $id = order($board, $_GET['order'])['id'];
    $position = $live->position("orders.$id");
    return ['position' => $position, 'order' => order($board, $id), 'events' => $board->events($id)];
}

function change(Board $board, array $input): array
{
    $live = new Live();
    switch ($input['action'] ?? null) {
        case 'add':
            $order = $board->add(text($input, 'guest', 60))
                ?? throw new Refused('The board is full. Hand over some orders first.', 409);
            return ['order' => $order, 'live' => $live->orderChanged($order)];

        case 'advance':
            $order = order($board, $input['order'] ?? null);
            $from = text($input, 'from', 10);
            if (!isset(Board::NEXT[$from])) {
                throw new Refused('An order cannot move on from there.', 400);
            }
            $moved = $board->advance($order['id'], $from);
            // Somebody else was faster: this window just has not heard of it yet.
            return $moved === null
                ? ['order' => order($board, $order['id']), 'live' => true]
                : ['order' => $moved, 'live' => $live->orderChanged($moved)];

        case 'invoice':
            // Takes seconds, so a worker does it (worker.php) and reports to this connection.
            return ['job' => $board->queueInvoice(order($board, $input['order'] ?? null)['id'], connection($input))];

        case 'follow':
            $job = $board->followJob(text($input, 'job', 64), connection($input));
            return ['percent' => ($job ?? throw new Refused('There is no such job.', 404))['percent'] ?? 0];

        default:
            throw new Refused('Unknown action.', 400);
    }
}

function main(): array
{
    if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
        return read(Board::open());
    }
    checkSameOrigin();
    $input = json_decode(file_get_contents('php://input'), true);
    return change(Board::open(), is_array($input) ? $input : throw new Refused('The body must be a JSON object.', 400));
}

header('Content-Type: application/json');
header('Cache-Control: no-store');
try {
    $answer = main();
} catch (Refused $refused) {
    http_response_code($refused->getCode());
    $answer = ['error' => $refused->getMessage()];
}
echo json_encode($answer, JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE);
