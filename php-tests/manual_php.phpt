--TEST--
The PHP in the manual runs as it is, but for what belongs to frameworks
--FILE--
<?php
require __DIR__ . '/inc/all.php';
const SECRET = '0123456789abcdef0123456789abcdef';
const FRAMEWORKS = '/^(namespace|use) |^add_action|DB::|createMock/m';
// They need a session, and have a test of their own.
const ENDPOINTS = '/session_start/';
$directory = sys_get_temp_dir() . '/realtime-test-' . bin2hex(random_bytes(6));
mkdir($directory, 0700);
file_put_contents("$directory/realtime.toml", 'tokens.secret = "' . SECRET . "\"\n" . <<<'TOML'
    [[channels]]
    pattern = "orders*"
    subscribe = "anyone"
    history.size = 10
    history.ttl = "1m"
    presence.enabled = true
    TOML);
$server = new Server(['--config', "$directory/realtime.toml", '--data-dir', "$directory/data"]);
$browser = Browser::subscribed($server->url(), 'orders.42');
/** What the manual takes for granted. */
const APPLICATION = <<<'PHP'
    <?php
    function report(Throwable $error): void
    {
        throw $error;
    }
    $realtime = new RealtimeClient();
    $user = (object) ['id' => 'u7', 'name' => 'Ana', 'color' => 'red'];
    [$id, $userId] = ['u7', 7];
    $orders = [$order = (object) ['id' => 42, 'status' => 'ready']];
    $db = new class {
        public function __call(string $name, array $arguments): mixed
        {
            return $name === 'query' ? $this : [];
        }
    };
    $jobs = [new class {
        public function run(RealtimePublisher $realtime): void
        {
            $realtime->broadcast('orders.42', 1, confirm: 'deferred');
        }
    }];
    PHP;
file_put_contents("$directory/application.php", APPLICATION . "\n\$_POST['connection'] = '$browser->connection';");
$settings = ['-d', "auto_prepend_file=$directory/application.php", '-d', "realtime.url={$server->url()}", '-d', "realtime.key=$server->key",
    '-d', 'realtime.token_secret=' . SECRET];
foreach (['../README.md', 'php-api.md', 'authentication.md', 'browser-api.md', 'recovery.md', 'production.md'] as $page) {
    $blocks = preg_grep(ENDPOINTS, preg_grep(FRAMEWORKS, snippets($page, 'php'), PREG_GREP_INVERT), PREG_GREP_INVERT);
    echo basename($page), ': ', count($blocks), "\n";
    foreach ($blocks as $block) {
        file_put_contents("$directory/block.php", str_starts_with($block, '<?php') ? $block : "<?php\n$block");
        $said = run_php(...[...$settings, "$directory/block.php"]);
        // A token is what one of them is there to print.
        echo preg_match('/^eyJ[\w.-]+$/D', $said) ? "a token\n" : $said;
    }
}
$server->stop();
array_map(unlink(...), glob("$directory/{*.toml,*.php,data/*}", GLOB_BRACE));
@rmdir("$directory/data");
rmdir($directory);
?>
--EXPECT--
README.md: 3
Queued for 1 browsers.
php-api.md: 7
authentication.md: 2
browser-api.md: 1
recovery.md: 1
production.md: 1
a token
