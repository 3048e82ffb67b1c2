--TEST--
Exceptions are ordinary ones: traces, getPrevious(), subclasses; the key is in none of them
--INI--
zend.exception_ignore_args=0
--FILE--
<?php
require __DIR__ . '/inc/all.php';
foreach (['Connection', 'Timeout', 'Auth', 'Server'] as $kind) {
    $class = "Realtime{$kind}Exception";
    echo $class, ' < ', implode(' < ', class_parents($class)), "\n";
}
class Wrapped extends RealtimeServerException
{
    public function __construct(Throwable $previous) { parent::__construct('wrapped', 3, $previous, 'mine', ['a' => 1]); }
}
class Bare extends RealtimeTimeoutException {}

function publish(): never
{
    $rt = new RealtimeClient('ws://127.0.0.1:1', 'rtk_secret');
    $rt->broadcast('c', 1);
    exit('unreachable');
}
try {
    publish();
} catch (RealtimeException $error) {
    echo $error::class, ' in ', basename($error->getFile()), ' line ', $error->getLine(), "\n", preg_replace('~/\S*/~', '', $error->getTraceAsString()), "\n";
    $wrapped = new Wrapped($error);
    var_dump($wrapped->getPrevious() === $error, $wrapped->getCode(), $wrapped->serverCode, $wrapped->results, (new Bare('b', 2))->getMessage());
    var_dump(str_contains(print_r($error, true) . $error, 'secret'));
}
// A constructor that throws after it was given a key.
try {
    new RealtimeClient('nonsense', 'rtk_secret');
} catch (ValueError $error) {
    var_dump(str_contains(print_r($error, true) . $error, 'rtk_secret'));
}
$rt = new RealtimeClient('ws://127.0.0.1:1', 'rtk_secret');
ob_start();
var_dump($rt);
var_dump(str_contains(ob_get_clean() . print_r($rt, true) . var_export($rt, true) . json_encode($rt) . json_encode((array) $rt), 'secret'));

$fake = new RealtimeServerException('m');
var_dump($fake->serverCode, $fake->results);
show(fn () => $fake->serverCode = 'x');
show(fn () => $fake->__construct('again'));
show(fn () => new RealtimeServerException(previous: 5));
$receipt = new RealtimeReceipt(receivers: 2, channels: ['c' => ['receivers' => 2, 'epoch' => null, 'offset' => null]]);
var_dump($receipt->acknowledged, $receipt->receivers, (new RealtimeReceipt(false))->channels);
show(fn () => $receipt->receivers = 3);
show(fn () => new RealtimeReceipt(receivers: 'many'));
show(fn () => $receipt->more = 1);
?>
--EXPECT--
RealtimeConnectionException < RealtimeException < Exception
RealtimeTimeoutException < RealtimeException < Exception
RealtimeAuthException < RealtimeException < Exception
RealtimeServerException < RealtimeException < Exception
RealtimeConnectionException in exceptions.php line 16
#0 exceptions.php(16): RealtimeClient->broadcast('c', 1)
#1 exceptions.php(20): publish()
#2 {main}
bool(true)
int(3)
string(4) "mine"
array(1) {
  ["a"]=>
  int(1)
}
string(1) "b"
bool(false)
bool(false)
bool(false)
string(0) ""
array(0) {
}
Error: Cannot modify readonly property RealtimeServerException::$serverCode
Error: Cannot modify readonly property RealtimeServerException::$serverCode
TypeError: RealtimeServerException::__construct(): Argument #3 ($previous) must be of type ?Throwable, int given
bool(true)
int(2)
array(0) {
}
Error: Cannot modify readonly property RealtimeReceipt::$receivers
TypeError: RealtimeReceipt::__construct(): Argument #2 ($receivers) must be of type int, string given
Error: Cannot create dynamic property RealtimeReceipt::$more
