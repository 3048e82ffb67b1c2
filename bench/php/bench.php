<?php

/*
 * Broadcasts from PHP beside a bare ping-pong of the same bytes over the same kind of socket, and beside curl and phpredis
 * publish when those extensions and redis-server are there. Started by bench/php/run, which pins this process.
 *
 * The kinds take turns in short blocks, so that a noisy machine is noisy for all of them; a kind's figure is the median
 * of its blocks' medians, and a ratio is the median over the rounds of the ratio within one round. What takes less than
 * reading the clock costs is timed by the burst, and settled between bursts, outside of the time. Beside 'later' over TCP
 * stand bare writes of the same bytes to the ping-pong's server, of which nobody waits for the replies either: what the
 * kernel's loopback takes, which carries each segment to its receiver, and wakes it, in the time of who writes.
 */

const WARM_UP = 200;
const BURST = 500;
const SHORT = 50;
const BATCH = 100;

[$rounds, $calls] = [(int) getenv('ROUNDS'), (int) getenv('CALLS')];
$directory = getenv('BENCH_DIR');
$servers = [];

/** Starts a server pinned away from this process. @return resource the pipe of its output */
function serve(array $command, array $environment = [], int $pipe = 1)
{
    global $servers;
    $descriptors = [['file', '/dev/null', 'r'], ['file', '/dev/null', 'w'], ['file', '/dev/null', 'w']];
    $descriptors[$pipe] = ['pipe', 'w'];
    $servers[] = proc_open(['taskset', '-c', getenv('SERVER_CPU'), ...$command], $descriptors, $pipes, null, $environment ?: null);
    return $pipes[$pipe];
}

register_shutdown_function(function () use (&$servers) {
    foreach ($servers as $server) {
        proc_terminate($server, 9);
        proc_close($server);
    }
});

function median(array $values): float
{
    sort($values);
    return $values[intdiv(count($values), 2)];
}

/** The 99th of 100. */
function tail(array $values): float
{
    sort($values);
    return $values[(int) (count($values) * 0.99)];
}

$data = ['id' => 42, 'status' => 'shipped', 'text' => str_repeat('x', 64)];
$channel = 'orders.42';

$key = 'rtk_' . str_repeat('a', 43);
$log = serve([getenv('REALTIME_SERVER'), 'start', '--listen', '127.0.0.1:0', '--unix-socket', "$directory/realtime.sock"], ['REALTIME_PUBLISHER_KEY' => $key], 2);
while (!preg_match('/listening on (\S+:\d+)/', $line = fgets($log) ?: exit("the server did not start\n"), $address)) {
}
$tcp = new RealtimeClient("ws://$address[1]", $key);
$unix = new RealtimeClient("unix://$directory/realtime.sock");

// What a broadcast sends and gets: a frame's head takes 2 or 4 bytes, its mask 4, an acknowledgement's head 2.
$command = '{"id":12345,"type":"broadcast_update","channel":"' . $channel . '","data":' . json_encode($data) . '}';
$request = str_repeat('x', strlen($command) + (strlen($command) < 126 ? 2 : 4) + 4);
$reply = strlen('{"type":"ack","id":12345,"receivers":0}') + 2;
$echo = trim(fgets(serve(["$directory/echo", (string) strlen($request), (string) $reply, "$directory/echo.sock"])));
[$echo_tcp, $echo_unix] = [stream_socket_client("tcp://$echo", context: stream_context_create(['socket' => ['tcp_nodelay' => true]])), stream_socket_client("unix://$directory/echo.sock")];
$ping_pong = function ($stream) use ($request, $reply): void {
    fwrite($stream, $request);
    for ($left = $reply; $left > 0; $left -= strlen(fread($stream, 8192))) {
    }
};

$kinds = [
    'ping-pong, TCP' => fn () => $ping_pong($echo_tcp),
    'broadcast(), TCP' => fn () => $tcp->broadcast($channel, $data),
    'ping-pong, unix' => fn () => $ping_pong($echo_unix),
    'broadcast(), unix' => fn () => $unix->broadcast($channel, $data),
];
$yardstick = ['broadcast(), TCP' => 'ping-pong, TCP', 'broadcast(), unix' => 'ping-pong, unix'];
if (extension_loaded('curl')) {
    $curl = curl_init("http://$address[1]/broadcast");
    curl_setopt_array($curl, [CURLOPT_RETURNTRANSFER => true, CURLOPT_HTTPHEADER => ["Authorization: Bearer $key", 'Content-Type: application/json', 'Expect:']]);
    $kinds['curl, keep-alive, TCP'] = function () use ($curl, $channel, $data): void {
        curl_setopt($curl, CURLOPT_POSTFIELDS, json_encode(['type' => 'broadcast_update', 'channel' => $channel, 'data' => $data]));
        curl_exec($curl);
    };
    $yardstick['curl, keep-alive, TCP'] = 'ping-pong, TCP';
}
if (extension_loaded('redis') && getenv('REDIS_SERVER')) {
    serve([getenv('REDIS_SERVER'), '--port', '0', '--unixsocket', "$directory/redis.sock", '--save', '']);
    for ($deadline = microtime(true) + 10; !file_exists("$directory/redis.sock") && microtime(true) < $deadline; usleep(1000)) {
    }
    $redis = new Redis;
    $redis->connect("$directory/redis.sock");
    $kinds['phpredis publish(), unix'] = fn () => $redis->publish($channel, json_encode($data));
    $yardstick['phpredis publish(), unix'] = 'ping-pong, unix';
}

// What does not wait, or not for each: how it is called, how many broadcasts a call makes, and what settles it.
$items = array_fill(0, BATCH, ['channel' => $channel, 'data' => $data]);
$bursts = [];
foreach (['TCP' => $tcp, 'unix' => $unix] as $socket => $rt) {
    $later = fn () => $rt->broadcast($channel, $data, confirm: 'later');
    $bursts["'later' in a burst, $socket"] = [$later, BURST, 1, $rt->flush(...)];
    $bursts["'later', bursts of " . SHORT . ", $socket"] = [$later, SHORT, 1, $rt->flush(...)];
    $bursts["'later' alone, $socket"] = [$later, 1, 1, $rt->flush(...)];
    $bursts["batch of " . BATCH . ", $socket"] = [fn () => $rt->batch($items), 5, BATCH, fn () => null];
}
$read = function (int $replies) use ($echo_tcp, $reply): void {
    for ($left = $reply * $replies; $left > 0; $left -= strlen(fread($echo_tcp, 8192))) {
    }
};
foreach (['bare writes in a burst, TCP' => BURST, 'bare writes, bursts of ' . SHORT . ', TCP' => SHORT] as $name => $burst) {
    $bursts[$name] = [fn () => fwrite($echo_tcp, $request), $burst, 1, fn () => $read($burst)];
}
$bursts["'deferred'"] = [fn () => $tcp->broadcast($channel, $data, confirm: 'deferred'), BURST, 1, $tcp->discard(...)];

foreach ($kinds as $call) {
    for ($i = 0; $i < WARM_UP; $i++) {
        $call();
    }
}
foreach ($bursts as [$call, $burst, , $settle]) {
    for ($i = 0; $i < $burst; $i++) {
        $call();
    }
    $settle();
}
$medians = $tails = [];
for ($round = 0; $round < $rounds; $round++) {
    foreach ($kinds as $name => $call) {
        $times = [];
        for ($i = 0; $i < $calls; $i++) {
            $start = hrtime(true);
            $call();
            $times[] = (hrtime(true) - $start) / 1000;
        }
        $medians[$name][] = median($times);
        $tails[$name][] = tail($times);
    }
    foreach ($bursts as $name => [$call, $burst, $size, $settle]) {
        $times = [];
        for ($done = 0; $done < max($calls, $burst * 5); $done += max($burst, 5)) {
            $start = hrtime(true);
            for ($i = 0; $i < $burst; $i++) {
                $call();
            }
            $times[] = (hrtime(true) - $start) / 1000 / $burst / $size;
            $settle();
        }
        $medians[$name][] = median($times);
    }
}

printf("%d rounds of %d calls; %d bytes out, %d back; client on CPU %s, servers on CPU %s; PHP %s\n\n", $rounds, $calls, strlen($request), $reply, getenv('CLIENT_CPU'), getenv('SERVER_CPU'), PHP_VERSION);
printf("%-26s %10s %10s %14s %18s\n", '', 'p50 µs', 'p99 µs', '× ping-pong', 'spread of rounds');
foreach ($kinds as $name => $call) {
    $ratio = $spread = '';
    if (isset($yardstick[$name])) {
        $ratios = array_map(fn ($own, $bare) => $own / $bare, $medians[$name], $medians[$yardstick[$name]]);
        sort($ratios);
        $ratio = sprintf('%.2f', median($ratios));
        $spread = sprintf('%.2f – %.2f', $ratios[intdiv($rounds, 10)], $ratios[$rounds - 1 - intdiv($rounds, 10)]);
    }
    printf("%-26s %10.1f %10.1f %14s %18s\n", $name, median($medians[$name]), median($tails[$name]), $ratio, $spread);
}
printf("\n%-32s %10s %18s %16s\n", '', 'p50 µs', 'spread of rounds', 'broadcasts/s');
foreach (array_keys($bursts) as $name) {
    $rounds_of = $medians[$name];
    sort($rounds_of);
    $spread = sprintf('%.2f – %.2f', $rounds_of[intdiv($rounds, 10)], $rounds_of[$rounds - 1 - intdiv($rounds, 10)]);
    printf("%-32s %10.2f %18s %16s\n", $name, median($rounds_of), $spread, number_format(1e6 / median($rounds_of)));
}
