// All that the page says, in each language that it speaks.

export const WORDS = {
  en: {
    title: 'Stellwerk: work', menu: 'Menu', close: 'Close', back: 'Back', understood: 'Understood',
    connected: 'Connected', connecting: 'Connecting …', away: 'No connection', away_since: 'No connection, last heard {time}',
    nobody: 'Nobody signed on', at: 'at {station}',
    device_head: 'Set up this device', device_key: 'Device key', device_use: 'Use this key',
    device_key_note: 'Scan or type the key that was made for this hand-held (role operator). It stays on this device.',
    device_first: 'The gateway does not know this device yet.',
    device_gone: 'The gateway does not let this device in any more.',
    device_role: 'This key or account may only look on (role {role}). It takes the role operator.',
    device_wrong: 'The gateway does not know this key.',
    login_instead: 'Or log in with an account', login_name: 'Name', login_password: 'Password', login: 'Log in',
    login_wrong: 'Name or password is wrong.',
    no_answer: 'The gateway can’t be reached. Try again.',
    sign_on_head: 'Sign on', station: 'Station', badge: 'Badge', sign_on: 'Sign on',
    badge_note: 'Scan your badge and the sign of the station, or type the number on the badge.',
    choose_station: 'Choose a station', no_station: 'Choose a station first.', no_badge: 'Scan or type your badge first.',
    no_person: 'Nobody here has the badge {badge}.', list_missing: 'The list of people has not come yet. Wait for the connection.',
    go_on_head: 'Signed on already', go_on_text: '{name} is signed on at {station}. Go on there with this device?', go_on: 'Go on at {station}',
    signed_on: 'Signed on: {name} at {station}', signed_off: 'Signed off: {name}',
    sign_off: 'Sign off', sign_off_head: 'Sign off?', sign_off_text: 'The task in hand goes back and waits for the next person.', sign_off_plain: 'You get no more tasks at {station}.',
    signed_off_away: '{name} was signed off at {station} by somebody else.', moved_away: '{name} is signed on at {station} now.',
    signing_on: 'Signing on …', signing_off: 'Signing off …',
    where: 'Where', since: 'Since', order: 'Order', due: 'Due',
    minutes: '{time} ({count} min)', hours: '{time} ({count} h)', urgent: 'urgent',
    code: 'Or type the code', scan_first: 'Scan the load', scanned: 'Right load scanned', typed_right: 'Right load: {load}',
    accept: 'Accept', confirm: 'Done', short: 'Short', damaged: 'Damaged', help: 'Help',
    accepted_waiting: 'Accepted: waiting to be sent',
    more_one: '1 more task waits here', more_many: '{count} more tasks wait here',
    no_task: 'No task now', no_task_text: 'The next one appears here by itself, with a sound.',
    ended_waiting: 'Waiting for the connection', ended_waiting_text: 'What you did is kept on this device. The next task comes when it has been sent.',
    loading: 'Looking for your task …',
    wrong_head: 'Wrong load', wrong_text: 'Scanned {scanned}. Wanted {wanted}. Put it back.',
    wrong_no_task: 'You have no task for {scanned} now.',
    unscanned_head: 'Done without a scan?', unscanned_text: '{load} has not been scanned. Is it really this one?', unscanned_yes: 'Yes, done',
    short_head: 'Too few', found: 'How many are there? (may stay empty)', less: 'One less', more: 'One more', short_send: 'Report short',
    damaged_head: 'Damaged', damaged_send: 'Report damaged', fails_note: 'The task ends with this, and its order fails.',
    help_head: 'Call for help', help_send: 'Call', reason: 'Reason', note: 'Note (may stay empty)',
    short_reasons: ['none there', 'fewer than ordered', 'other goods'],
    damaged_reasons: ['wet', 'broken', 'packaging torn'],
    help_reasons: ['scanner', 'load', 'machine', 'injury'],
    help_called: 'Help has been called',
    camera: 'Camera', camera_head: 'Hold the code before the camera', camera_picture: 'Picture of the camera',
    camera_insecure: 'The camera works only over https. Use the scanner or type the code.',
    camera_no_camera: 'This browser gives no camera. Use the scanner or type the code.',
    camera_no_detector: 'This browser can’t read codes with the camera. Use the scanner or type the code.',
    camera_refused: 'The camera can’t be used: {why}. Allow it in the browser, use the scanner or type the code.',
    waiting_head: 'Waiting to be sent: {count}', waiting_away: 'Goes by itself when the connection is back. Nothing is done twice.',
    waiting_sending: 'Being sent …', waiting_other: 'This was done under the account {by}. Log in with it, or throw it away.', waiting_drop: 'Throw away',
    waiting_fault: 'The gateway has a fault. It is tried again.',
    full_head: 'Too much is waiting', full_text: '{count} actions wait to be sent. Wait for the connection.',
    unkept_head: 'Not taken', unkept_text: 'This device can’t keep anything (storage full or forbidden), so it could be lost. Use another device.',
    act_sign_on: 'Sign on {name} at {station}', act_sign_off: 'Sign off {name}', act_accept: 'Accept {load}', act_confirm: 'Done {load}',
    act_short: 'Short {load}', act_damaged: 'Damaged {load}', act_help: 'Help for {name}',
    done_confirm: '{load}: done', done_short: '{load}: reported short', done_damaged: '{load}: reported damaged',
    not_done: 'Not done: {what}',
    refused_taken: 'The task is not yours any more: somebody else has it, or it has ended. Leave the load where it is and go on with what the screen shows.',
    refused_sign_on: 'Somebody is signed on there already, or you are signed on elsewhere.',
    refused_sign_off: 'You were not signed on any more.', refused_gone: 'The gateway does not know this any more.',
    refused_late: 'It was too long ago. Sign on again.', refused_other: 'The gateway has refused it.', refused_fault: 'The gateway has a fault. Whether it was done is not known: ask your lead.',
    language: 'Language', appearance: 'Appearance', auto: 'As device', light: 'Light', dark: 'Dark',
    forget: 'Take the key off this device', forget_head: 'Take the key off?', forget_text: 'Nobody can work with this device until it has a key again.', forget_waiting: 'Something still waits to be sent. Wait for the connection first.',
    about: 'This device is known as {name}.',
  },
  de: {
    title: 'Stellwerk: Arbeit', menu: 'Menü', close: 'Schließen', back: 'Zurück', understood: 'Verstanden',
    connected: 'Verbunden', connecting: 'Verbinde …', away: 'Keine Verbindung', away_since: 'Keine Verbindung seit {time}',
    nobody: 'Nicht angemeldet', at: 'an {station}',
    device_head: 'Gerät einrichten', device_key: 'Geräteschlüssel', device_use: 'Schlüssel verwenden',
    device_key_note: 'Den Schlüssel dieses Handgeräts (Rolle operator) scannen oder eintippen. Er bleibt auf diesem Gerät.',
    device_first: 'Die Anlage kennt dieses Gerät noch nicht.',
    device_gone: 'Die Anlage lässt dieses Gerät nicht mehr zu.',
    device_role: 'Dieser Schlüssel oder dieses Konto darf nur zusehen (Rolle {role}). Nötig ist die Rolle operator.',
    device_wrong: 'Die Anlage kennt diesen Schlüssel nicht.',
    login_instead: 'Oder mit einem Konto anmelden', login_name: 'Name', login_password: 'Kennwort', login: 'Anmelden',
    login_wrong: 'Name oder Kennwort ist falsch.',
    no_answer: 'Die Anlage ist nicht erreichbar. Bitte noch einmal.',
    sign_on_head: 'Anmelden', station: 'Arbeitsplatz', badge: 'Ausweis', sign_on: 'Anmelden',
    badge_note: 'Ausweis und Schild des Arbeitsplatzes scannen oder die Nummer auf dem Ausweis eintippen.',
    choose_station: 'Arbeitsplatz wählen', no_station: 'Zuerst einen Arbeitsplatz wählen.', no_badge: 'Zuerst den Ausweis scannen oder eintippen.',
    no_person: 'Niemand hier hat den Ausweis {badge}.', list_missing: 'Die Liste der Personen ist noch nicht da. Auf die Verbindung warten.',
    go_on_head: 'Schon angemeldet', go_on_text: '{name} ist an {station} angemeldet. Dort mit diesem Gerät weiterarbeiten?', go_on: 'Weiter an {station}',
    signed_on: 'Angemeldet: {name} an {station}', signed_off: 'Abgemeldet: {name}',
    sign_off: 'Abmelden', sign_off_head: 'Abmelden?', sign_off_text: 'Die laufende Aufgabe geht zurück und wartet auf die nächste Person.', sign_off_plain: 'An {station} kommen keine Aufgaben mehr.',
    signed_off_away: '{name} wurde an {station} von jemand anderem abgemeldet.', moved_away: '{name} ist jetzt an {station} angemeldet.',
    signing_on: 'Anmeldung läuft …', signing_off: 'Abmeldung läuft …',
    where: 'Wo', since: 'Seit', order: 'Auftrag', due: 'Bis',
    minutes: '{time} ({count} min)', hours: '{time} ({count} h)', urgent: 'eilig',
    code: 'Oder Code eintippen', scan_first: 'Behälter scannen', scanned: 'Richtiger Behälter gescannt', typed_right: 'Richtiger Behälter: {load}',
    accept: 'Annehmen', confirm: 'Fertig', short: 'Zu wenig', damaged: 'Beschädigt', help: 'Hilfe',
    accepted_waiting: 'Angenommen: wird noch gesendet',
    more_one: 'Hier wartet 1 weitere Aufgabe', more_many: 'Hier warten {count} weitere Aufgaben',
    no_task: 'Gerade keine Aufgabe', no_task_text: 'Die nächste erscheint hier von selbst, mit einem Ton.',
    ended_waiting: 'Warten auf die Verbindung', ended_waiting_text: 'Was Sie getan haben, ist auf diesem Gerät aufgehoben. Die nächste Aufgabe kommt, sobald es gesendet ist.',
    loading: 'Aufgabe wird gesucht …',
    wrong_head: 'Falscher Behälter', wrong_text: 'Gescannt: {scanned}. Gesucht: {wanted}. Bitte zurückstellen.',
    wrong_no_task: 'Für {scanned} haben Sie gerade keine Aufgabe.',
    unscanned_head: 'Fertig ohne Scan?', unscanned_text: '{load} wurde nicht gescannt. Ist es wirklich dieser?', unscanned_yes: 'Ja, fertig',
    short_head: 'Zu wenig', found: 'Wie viele sind da? (kann leer bleiben)', less: 'Einer weniger', more: 'Einer mehr', short_send: 'Zu wenig melden',
    damaged_head: 'Beschädigt', damaged_send: 'Schaden melden', fails_note: 'Damit endet die Aufgabe, und ihr Auftrag ist gescheitert.',
    help_head: 'Hilfe rufen', help_send: 'Rufen', reason: 'Grund', note: 'Bemerkung (kann leer bleiben)',
    short_reasons: ['nichts da', 'weniger als bestellt', 'andere Ware'],
    damaged_reasons: ['nass', 'zerbrochen', 'Verpackung offen'],
    help_reasons: ['Scanner', 'Behälter', 'Maschine', 'Verletzung'],
    help_called: 'Hilfe ist gerufen',
    camera: 'Kamera', camera_head: 'Code vor die Kamera halten', camera_picture: 'Bild der Kamera',
    camera_insecure: 'Die Kamera geht nur über https. Bitte den Scanner nehmen oder den Code eintippen.',
    camera_no_camera: 'Dieser Browser gibt keine Kamera her. Bitte den Scanner nehmen oder den Code eintippen.',
    camera_no_detector: 'Dieser Browser kann keine Codes mit der Kamera lesen. Bitte den Scanner nehmen oder den Code eintippen.',
    camera_refused: 'Die Kamera geht nicht: {why}. Im Browser erlauben, den Scanner nehmen oder den Code eintippen.',
    waiting_head: 'Noch nicht gesendet: {count}', waiting_away: 'Geht von selbst, sobald die Verbindung da ist. Nichts geschieht doppelt.',
    waiting_sending: 'Wird gesendet …', waiting_other: 'Das geschah mit dem Konto {by}. Damit anmelden oder verwerfen.', waiting_drop: 'Verwerfen',
    waiting_fault: 'Die Anlage hat einen Fehler. Es wird noch einmal versucht.',
    full_head: 'Zu viel wartet', full_text: '{count} Meldungen sind noch nicht gesendet. Auf die Verbindung warten.',
    unkept_head: 'Nicht angenommen', unkept_text: 'Dieses Gerät kann nichts aufheben (Speicher voll oder gesperrt), es könnte verloren gehen. Bitte ein anderes Gerät nehmen.',
    act_sign_on: '{name} an {station} anmelden', act_sign_off: '{name} abmelden', act_accept: '{load} annehmen', act_confirm: '{load} fertig',
    act_short: '{load} zu wenig', act_damaged: '{load} beschädigt', act_help: 'Hilfe für {name}',
    done_confirm: '{load}: fertig', done_short: '{load}: zu wenig gemeldet', done_damaged: '{load}: Schaden gemeldet',
    not_done: 'Nicht ausgeführt: {what}',
    refused_taken: 'Die Aufgabe gehört Ihnen nicht mehr: Jemand anderes hat sie, oder sie ist beendet. Den Behälter stehen lassen und mit dem weitermachen, was hier steht.',
    refused_sign_on: 'Dort ist schon jemand angemeldet, oder Sie sind woanders angemeldet.',
    refused_sign_off: 'Sie waren nicht mehr angemeldet.', refused_gone: 'Die Anlage kennt das nicht mehr.',
    refused_late: 'Es ist zu lange her. Bitte neu anmelden.', refused_other: 'Die Anlage hat es abgelehnt.', refused_fault: 'Die Anlage hat einen Fehler. Ob es ausgeführt wurde, ist nicht bekannt: Bitte die Leitung fragen.',
    language: 'Sprache', appearance: 'Darstellung', auto: 'Wie Gerät', light: 'Hell', dark: 'Dunkel',
    forget: 'Schlüssel von diesem Gerät nehmen', forget_head: 'Schlüssel wegnehmen?', forget_text: 'Mit diesem Gerät kann niemand arbeiten, bis es wieder einen Schlüssel hat.', forget_waiting: 'Es ist noch etwas nicht gesendet. Zuerst auf die Verbindung warten.',
    about: 'Dieses Gerät ist bekannt als {name}.',
  },
};

export const LANGUAGES = Object.keys(WORDS);
let spoken = 'en';

export function speak(language) {
  spoken = LANGUAGES.includes(language) ? language : 'en';
  document.documentElement.lang = spoken;
  document.title = WORDS[spoken].title;
  for (const each of document.querySelectorAll('[data-t]')) each.textContent = t(each.dataset.t);
  for (const each of document.querySelectorAll('[data-label]')) each.setAttribute('aria-label', t(each.dataset.label));
  for (const each of document.querySelectorAll('[data-placeholder]')) each.placeholder = t(each.dataset.placeholder);
}

export const language = () => spoken;

/** The words called `name`, with {gaps} filled. */
export function t(name, gaps = {}) {
  const found = WORDS[spoken][name];
  return typeof found === 'string' ? found.replace(/\{(\w+)\}/g, (_, gap) => String(gaps[gap] ?? '')) : found;
}

const PLACES = { en: 'en-GB', de: 'de-DE' };

export const clock = (ms) => new Date(ms).toLocaleTimeString(PLACES[spoken], { hour: '2-digit', minute: '2-digit' });
