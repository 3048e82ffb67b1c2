<?php

declare(strict_types=1);

/** The board's data: orders, what happened to them, and invoice jobs, in one SQLite file. Knows nothing of realtime. */
final class Board
{
    /** Each status and the one that follows it. */
    public const NEXT = ['new' => 'making', 'making' => 'ready', 'ready' => 'done'];
    /** A board that shows more than this is of no use to anybody, so further orders are refused. */
    public const MOST_OPEN = 40;
    /** How many handed-over orders stay on the board. */
    public const DONE_SHOWN = 6;

    /** The first order's number. */
    private const FIRST = 41;
    private const MENU = [
        'Espresso' => 250, 'Cortado' => 320, 'Flat white' => 390, 'Cappuccino' => 360, 'Filter coffee' => 340,
        'Chai latte' => 420, 'Iced matcha' => 480, 'Almond croissant' => 350, 'Banana bread' => 380, 'Cinnamon roll' => 390,
    ];
    private const GUESTS = [
        'Amara', 'Bruno', 'Chiyo', 'Dalia', 'Emil', 'Farah', 'Goran', 'Hana', 'Ines', 'Jonas', 'Kemi', 'Liv', 'Mateo',
        'Nora', 'Oskar', 'Priya', 'Quinn', 'Rosa', 'Samir', 'Tove', 'Uma', 'Vera', 'Wanda', 'Yusuf', 'Zoë',
    ];

    private function __construct(private PDO $db) {}

    /** Opens the database that DEMO_DB names; a new one gets its tables and some orders. */
    public static function open(): self
    {
        $path = getenv('DEMO_DB') ?: throw new RuntimeException('DEMO_DB must name the SQLite file; `make demo` sets it');
        $db = new PDO("sqlite:$path", options: [PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_ASSOC, PDO::ATTR_TIMEOUT => 5]);
        $board = new self($db);
        if (!$db->query("SELECT 1 FROM sqlite_master WHERE name = 'orders'")->fetchColumn()) {
            $db->exec('PRAGMA journal_mode = WAL');
            $board->transaction($board->create(...));
        }
        return $board;
    }

    /** @return list<array<string, mixed>> the open orders and the last ones handed over, oldest first */
    public function orders(): array
    {
        $rows = $this->all(
            "SELECT * FROM orders WHERE status <> 'done' OR id IN
                (SELECT id FROM orders WHERE status = 'done' ORDER BY changed DESC, id DESC LIMIT " . self::DONE_SHOWN . ')
             ORDER BY id',
        );
        return array_map(self::present(...), $rows);
    }

    /** @return ?array<string, mixed> */
    public function order(int $id): ?array
    {
        $row = $this->all('SELECT * FROM orders WHERE id = ?', $id)[0] ?? null;
        return $row === null ? null : self::present($row);
    }

    /** @return list<array{version: int, status: string, at: int}> what happened to one order, oldest first */
    public function events(int $order): array
    {
        return $this->all('SELECT version, status, at FROM events WHERE order_id = ? ORDER BY version', $order);
    }

    /** Takes an order; the guest chooses the name, chance the rest. Null when the board is full. */
    public function add(string $guest): ?array
    {
        return $this->transaction(function () use ($guest): ?array {
            $open = $this->all("SELECT COUNT(*) AS n FROM orders WHERE status <> 'done'")[0]['n'];
            return $open >= self::MOST_OPEN ? null : $this->insert($guest, time());
        });
    }

    /** Moves an order on. Null when it is no longer in $from: somebody else was faster. */
    public function advance(int $id, string $from): ?array
    {
        return $this->transaction(fn (): ?array => $this->move($id, $from, time()));
    }

    /** Queues the making of an invoice, to be reported to $connection. Returns the job's id. */
    public function queueInvoice(int $order, string $connection): string
    {
        $job = bin2hex(random_bytes(16));
        $this->all('INSERT INTO jobs (id, order_id, connection, percent) VALUES (?, ?, ?, NULL)', $job, $order, $connection);
        return $job;
    }

    /** Takes the oldest waiting job, so that no other worker gets it. */
    public function takeJob(): ?array
    {
        return $this->all(
            'UPDATE jobs SET percent = 0 WHERE id =
                (SELECT id FROM jobs WHERE percent IS NULL ORDER BY rowid LIMIT 1) RETURNING *',
        )[0] ?? null;
    }

    /** Notes how far a job is, and returns it with the connection that watches it now. */
    public function progress(string $job, int $percent): array
    {
        return $this->all('UPDATE jobs SET percent = ? WHERE id = ? RETURNING *', $percent, $job)[0];
    }

    /** The browser that watches a job has a new connection. Null when there is no such job. */
    public function followJob(string $job, string $connection): ?array
    {
        return $this->all('UPDATE jobs SET connection = ? WHERE id = ? RETURNING *', $connection, $job)[0] ?? null;
    }

    private function create(): void
    {
        // Two processes may have come here together; the second finds everything made.
        $this->db->exec(
            'CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, guest TEXT, items TEXT, total INTEGER,
                status TEXT, version INTEGER, created INTEGER, changed INTEGER);
             CREATE TABLE IF NOT EXISTS events (order_id INTEGER, version INTEGER, status TEXT, at INTEGER);
             CREATE TABLE IF NOT EXISTS jobs (id TEXT UNIQUE, order_id INTEGER, connection TEXT, percent INTEGER)',
        );
        if ($this->all('SELECT 1 FROM orders LIMIT 1') !== []) {
            return;
        }
        $guests = self::GUESTS;
        shuffle($guests);
        foreach ([3, 3, 2, 2, 1, 1, 1, 0, 0] as $i => $moves) {
            $at = time() - 600 + 60 * $i;
            $order = $this->insert($guests[$i], $at, id: self::FIRST + $i);
            for ($move = 1; $move <= $moves; $move++) {
                $order = $this->move($order['id'], $order['status'], $at + 40 * $move);
            }
        }
    }

    private function insert(string $guest, int $at, ?int $id = null): array
    {
        $items = [];
        foreach ((array) array_rand(self::MENU, random_int(1, 3)) as $name) {
            $items[] = ['name' => $name, 'count' => random_int(1, 2), 'price' => self::MENU[$name]];
        }
        $order = $this->all(
            "INSERT INTO orders (id, guest, items, total, status, version, created, changed)
                VALUES (?, ?, ?, ?, 'new', 1, ?, ?) RETURNING *",
            $id,
            $guest === '' ? self::GUESTS[array_rand(self::GUESTS)] : $guest,
            json_encode($items, JSON_THROW_ON_ERROR),
            array_sum(array_map(fn (array $item): int => $item['count'] * $item['price'], $items)),
            $at, $at,
        )[0];
        $this->event($order);
        return self::present($order);
    }

    private function move(int $id, string $from, int $at): ?array
    {
        $moved = $this->all(
            'UPDATE orders SET status = ?, version = version + 1, changed = ? WHERE id = ? AND status = ? RETURNING *',
            self::NEXT[$from], $at, $id, $from,
        )[0] ?? null;
        if ($moved === null) {
            return null;
        }
        $this->event($moved);
        return self::present($moved);
    }

    private function event(array $order): void
    {
        $this->all(
            'INSERT INTO events (order_id, version, status, at) VALUES (?, ?, ?, ?)',
            $order['id'], $order['version'], $order['status'], $order['changed'],
        );
    }

    private static function present(array $row): array
    {
        return ['items' => json_decode($row['items'], true, flags: JSON_THROW_ON_ERROR)] + $row;
    }

    private function all(string $sql, int|string|null ...$values): array
    {
        $statement = $this->db->prepare($sql);
        $statement->execute($values);
        return $statement->fetchAll();
    }

    /** IMMEDIATE takes the write lock at once: a transaction that reads first could not get it later. */
    private function transaction(callable $work): mixed
    {
        $this->db->exec('BEGIN IMMEDIATE');
        try {
            $result = $work();
            $this->db->exec('COMMIT');
            return $result;
        } catch (Throwable $error) {
            $this->db->exec('ROLLBACK');
            throw $error;
        }
    }
}
